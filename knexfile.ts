import { readDatabaseAddress } from './src/config';
import { databaseConfig } from './src/db/connection';

/**
 * What the plain `knex` command works with: `DATABASE_URL=mysql://… npx knex migrate:status`.
 */
function knexfile() {
  return databaseConfig({ ...readDatabaseAddress(process.env), poolSize: 2, lockWaitSeconds: 50 });
}

export default knexfile;
