import { databaseConfig } from './src/db/connection';

/**
 * What the plain `knex` command works with: `DATABASE_URL=mysql://… npx knex migrate:status`.
 */
function knexfile() {
  const url = process.env['DATABASE_URL'];
  if (!url) throw new Error('set DATABASE_URL to mysql://user:password@host:port/database');
  return databaseConfig({ url, poolSize: 2, lockWaitSeconds: 50 });
}

export default knexfile;
