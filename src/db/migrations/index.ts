import type { Knex } from 'knex';
import { read, select } from '../query';
import * as createApplications from './001-create-applications';
import * as createWorkflows from './002-create-workflows';
import * as createVendorEntities from './003-create-vendor-entities';
import * as createSessions from './004-create-sessions';
import * as createUserRelations from './005-create-user-relations';
import * as createBusinessRelations from './006-create-business-relations';
import * as createSessionImports from './007-create-session-imports';
import * as recordGateways from './008-record-gateways';
import * as rememberRequests from './009-remember-requests';
import * as recordShareTokens from './010-record-share-tokens';
import * as traceImports from './011-trace-imports';
import * as listUserSessions from './012-list-user-sessions';
import * as linkSessions from './013-link-sessions';
import * as recordRefusals from './014-record-refusals';
import * as listBusinessSessions from './015-list-business-sessions';
import * as listVendorUserSessions from './016-list-vendor-user-sessions';
import * as listVendorBusinessSessions from './017-list-vendor-business-sessions';
import * as markPreviews from './018-mark-previews';
import * as countLiveShareTokens from './019-count-live-share-tokens';
import * as markRedeemedTokens from './020-mark-redeemed-tokens';
import * as acceptSessions from './021-accept-sessions';
import * as recordGrounds from './022-record-grounds';
import * as recordAcceptance from './023-record-acceptance';
import * as connectApplications from './024-connect-applications';
import * as shareChosenRelations from './025-share-chosen-relations';
import * as eraseSessions from './026-erase-sessions';
import * as recordEvents from './027-record-events';
import * as withdrawSessions from './028-withdraw-sessions';
import * as sweepSources from './029-sweep-sources';
import * as compareSources from './030-compare-sources';

/** A migration and its name; the plain `knex` command calls the name a file. */
interface NamedMigration {
  readonly file: string;
  readonly migration: Knex.Migration;
}

/** Every migration, oldest first. A name, once released, never changes: databases remember it. */
const all: readonly NamedMigration[] = [
  { file: '001-create-applications', migration: createApplications },
  { file: '002-create-workflows', migration: createWorkflows },
  { file: '003-create-vendor-entities', migration: createVendorEntities },
  { file: '004-create-sessions', migration: createSessions },
  { file: '005-create-user-relations', migration: createUserRelations },
  { file: '006-create-business-relations', migration: createBusinessRelations },
  { file: '007-create-session-imports', migration: createSessionImports },
  { file: '008-record-gateways', migration: recordGateways },
  { file: '009-remember-requests', migration: rememberRequests },
  { file: '010-record-share-tokens', migration: recordShareTokens },
  { file: '011-trace-imports', migration: traceImports },
  { file: '012-list-user-sessions', migration: listUserSessions },
  { file: '013-link-sessions', migration: linkSessions },
  { file: '014-record-refusals', migration: recordRefusals },
  { file: '015-list-business-sessions', migration: listBusinessSessions },
  { file: '016-list-vendor-user-sessions', migration: listVendorUserSessions },
  { file: '017-list-vendor-business-sessions', migration: listVendorBusinessSessions },
  { file: '018-mark-previews', migration: markPreviews },
  { file: '019-count-live-share-tokens', migration: countLiveShareTokens },
  { file: '020-mark-redeemed-tokens', migration: markRedeemedTokens },
  { file: '021-accept-sessions', migration: acceptSessions },
  { file: '022-record-grounds', migration: recordGrounds },
  { file: '023-record-acceptance', migration: recordAcceptance },
  { file: '024-connect-applications', migration: connectApplications },
  { file: '025-share-chosen-relations', migration: shareChosenRelations },
  { file: '026-erase-sessions', migration: eraseSessions },
  { file: '027-record-events', migration: recordEvents },
  { file: '028-withdraw-sessions', migration: withdrawSessions },
  { file: '029-sweep-sources', migration: sweepSources },
  { file: '030-compare-sources', migration: compareSources },
];

/**
 * The migrations by name and not by file, so that a database migrated from the sources
 * (`001-….ts`) and one migrated from the built program (`001-….js`) agree on what has been done.
 */
export const migrations: Knex.MigrationSource<NamedMigration> = {
  getMigrations: () => Promise.resolve([...all]),
  getMigrationName: ({ file }) => file,
  getMigration: ({ migration }) => Promise.resolve(migration),
};

/**
 * The migrations that a database lacks. Only reads: Knex's own question would create its table, which
 * the service's database user need not be allowed to.
 */
export async function pendingMigrations(db: Knex): Promise<string[]> {
  const known = await read(db, select("SHOW TABLES LIKE 'knex_migrations'", []));
  const done =
    known.length === 0
      ? []
      : await read(db, select<{ name: string }>('SELECT name FROM knex_migrations', []));
  const names = new Set(done.map(({ name }) => name));
  return all.map(({ file }) => file).filter((name) => !names.has(name));
}
