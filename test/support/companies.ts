import { toBinary, type SessionId } from '../../src/model/ids';
import type { Database } from '../../src/db/database';
import type { ImportSessionRequest } from '../../src/gen/sessionimport/v1/session_import';
import { signShareToken } from '../../src/token/signing';
import { createSession, type Tenant } from './fixtures';
import { select, type Row } from './rows';
import type { Harness } from './service';

/** Adds a business session whose key people form one long chain; each has a session of its own, or none. */
export async function createCompany(
  db: Database,
  tenant: Tenant,
  people: readonly (SessionId | null)[],
): Promise<SessionId> {
  const id = await createSession(db, tenant, 'business');
  const now = new Date();
  const common = {
    session_id: toBinary(id),
    status: 'Approved',
    created_at: now,
    updated_at: now,
  };
  await db('business_key_people_checks').insert({ ...common, ordinal: 0 });
  if (people.length === 0) return id;
  await db('business_key_people').insert(
    people.map((own, ordinal) => ({
      ...common,
      check_ordinal: 0,
      ordinal,
      parent_ordinal: ordinal === 0 ? null : ordinal - 1,
      party_kind: 'person',
      full_name: `key person ${ordinal}`,
      is_skipped: false,
      kyc_session_id: own && toBinary(own),
    })),
  );
  return id;
}

/** The request that imports a company with the sessions of its key people. */
export async function requestWithLinked(
  { signer, source, target }: Pick<Harness, 'signer' | 'source' | 'target'>,
  company: SessionId,
): Promise<Partial<ImportSessionRequest>> {
  return {
    shareToken: await signShareToken(signer.privateJwk, {
      sessionId: company,
      kind: 'business',
      fromApplicationId: source.applicationId,
      forApplicationId: target.applicationId,
      lifetime: 600,
      includeLinkedSessions: true,
    }),
    workflowId: target.workflows.business,
    includeLinkedSessions: true,
    linkedWorkflowId: target.workflows.user,
  };
}

/** The key people of a business session: which sessions they point at, and which they came from. */
export async function keyPeopleOf(company: SessionId): Promise<Row[]> {
  return select(
    `SELECT kyc_session_id, source_kyc_session_id FROM business_key_people
     WHERE session_id = ? ORDER BY check_ordinal, ordinal`,
    [toBinary(company)],
  );
}

/** An application's copies of a session, by id. */
export async function copiesIn(tenant: Tenant, original: SessionId): Promise<Row[]> {
  return select(
    `SELECT id FROM user_sessions WHERE application_id = ? AND shared_from_session_id = ?
     UNION ALL
     SELECT id FROM business_sessions WHERE application_id = ? AND shared_from_session_id = ?`,
    [tenant, tenant].flatMap(({ applicationId }) => [toBinary(applicationId), toBinary(original)]),
  );
}

/** What the ledger has of an application's imports of a session. */
export async function ledgerOf(tenant: Tenant, original: SessionId): Promise<Row[]> {
  return select(
    'SELECT * FROM session_imports WHERE application_id = ? AND source_session_id = ?',
    [toBinary(tenant.applicationId), toBinary(original)],
  );
}
