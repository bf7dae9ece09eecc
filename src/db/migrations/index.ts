import type { Knex } from 'knex';
import * as createApplications from './001-create-applications';
import * as createWorkflows from './002-create-workflows';
import * as createVendorEntities from './003-create-vendor-entities';
import * as createSessions from './004-create-sessions';
import * as createUserRelations from './005-create-user-relations';
import * as createBusinessRelations from './006-create-business-relations';
import * as createSessionImports from './007-create-session-imports';

/** Every migration, oldest first. A name, once released, never changes: databases remember it. */
const all = new Map<string, Knex.Migration>([
  ['001-create-applications', createApplications],
  ['002-create-workflows', createWorkflows],
  ['003-create-vendor-entities', createVendorEntities],
  ['004-create-sessions', createSessions],
  ['005-create-user-relations', createUserRelations],
  ['006-create-business-relations', createBusinessRelations],
  ['007-create-session-imports', createSessionImports],
]);

/**
 * The migrations by name and not by file, so that a database migrated from the sources
 * (`001-….ts`) and one migrated from the built program (`001-….js`) agree on what has been done.
 */
export const migrations: Knex.MigrationSource<string> = {
  getMigrations: () => Promise.resolve([...all.keys()]),
  getMigrationName: (name) => name,
  getMigration: (name) => {
    const migration = all.get(name);
    return migration
      ? Promise.resolve(migration)
      : Promise.reject(new Error(`there is no migration ${name}`));
  },
};
