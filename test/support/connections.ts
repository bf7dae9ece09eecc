import { termsBindings, termsColumns } from '../../src/store/connections/terms';
import type { Database } from '../../src/db/database';
import type { ConnectionTerms } from '../../src/model/connection';
import { newId, toBinary, type ConnectionId } from '../../src/model/ids';
import type { Tenant } from './fixtures';

/** Terms that allow everything. */
export const everything: ConnectionTerms = {
  kinds: ['user', 'business'],
  linkedSessions: true,
  trustReview: true,
  longestTtl: null,
  relations: null,
  groundsRequired: false,
  agreement: null,
  certifiedUntil: null,
};

/** Adds an active connection. */
export async function connect(
  db: Database,
  source: Tenant,
  recipient: Tenant,
  terms: Partial<ConnectionTerms> = {},
): Promise<ConnectionId> {
  const id = newId<ConnectionId>();
  const values = termsBindings({ ...everything, ...terms });
  await db('session_connections').insert({
    id: toBinary(id),
    source_application_id: toBinary(source.applicationId),
    recipient_application_id: toBinary(recipient.applicationId),
    active: 1,
    ...Object.fromEntries(termsColumns.map((column, index) => [column, values[index]])),
    proposed_by: 'operator',
    created_at: new Date(),
    accepted_at: new Date(),
  });
  return id;
}

/** Ends a connection as the service does. */
export async function disconnect(db: Database, id: ConnectionId): Promise<void> {
  await db('session_connections')
    .where({ id: toBinary(id) })
    .update({ active: null, ended_at: new Date(), ended_by: 'operator' });
}
