import type { Database } from '../../src/db/database';
import { write } from '../../src/db/query';
import { ImportSessionRequest } from '../../src/gen/sessionimport/v1/session_import';
import { newId, toBinary, type SessionId, type ShareTokenId } from '../../src/model/ids';
import { privileges } from '../../src/model/privileges';
import { leaseBlocks } from '../../src/store/session-numbers';
import { signShareToken } from '../../src/token/signing';
import { multiply } from '../copies';
import type { Import, Importing, World } from '../subjects';
import { createImporting } from '../world';

/** What all scenarios share. */
export interface Stage {
  readonly db: Database;
  /** The address of the database for a user with all rights. */
  readonly adminUrl: string;
  readonly world: World;
  /** The one application that attacks, and has a valid key. */
  readonly attacker: Importing;
  /** How long each scenario is measured, in seconds. */
  readonly seconds: number;
}

/** Registers an application with an API key that has all privileges. */
export async function createTenant(db: Database): Promise<Importing> {
  const [tenant] = await createImporting(db, 1, privileges);
  if (!tenant) throw new Error('no application was created');
  return tenant;
}

/** How long share tokens are valid, in seconds: longer than all scenarios take. */
const lifetime = 4 * 60 * 60;

/** The request of an import, with a share token for it. */
export async function importRequest(
  { signingKey, source }: World,
  { kind, importing, source: sessionId, vendorData }: Import,
  options: {
    readonly linked?: boolean;
    readonly expired?: boolean;
    readonly id?: ShareTokenId;
  } = {},
): Promise<ImportSessionRequest> {
  const { linked = false, expired = false, id = newId<ShareTokenId>() } = options;
  const issuedAt = new Date(Date.now() - (expired ? 2 * lifetime * 1_000 : 0));
  const shareToken = await signShareToken(signingKey, {
    id,
    sessionId,
    kind,
    fromApplicationId: source,
    forApplicationId: importing.applicationId,
    lifetime,
    issuedAt,
    includeLinkedSessions: linked,
  });
  return ImportSessionRequest.create({
    shareToken,
    workflowId: importing.workflows[kind],
    vendorData,
    trustReview: true,
    ...(linked ? { includeLinkedSessions: true, linkedWorkflowId: importing.workflows.user } : {}),
  });
}

/** Makes user sessions for a tenant as copies of another session; by default, of the demo's. */
export async function createOwn(
  { db, world }: Pick<Stage, 'db' | 'world'>,
  { applicationId, workflows }: Importing,
  count: number,
  template = world.templates.user,
): Promise<SessionId[]> {
  // So that the service's next numbers follow those of the sessions made here.
  await leaseBlocks(db, [applicationId], count);
  const own = { source: applicationId, sourceWorkflows: workflows };
  return multiply(db, own, 'user', template, count);
}

/**
 * Records share tokens of a session as `ShareSession` would.
 *
 * @param expiredFor for how many seconds they have expired; undefined: they are live.
 */
export async function recordShareTokens(
  db: Database,
  { applicationId, apiKeyId }: Importing,
  sessionId: SessionId,
  count: number,
  expiredFor?: number,
): Promise<ShareTokenId[]> {
  const ids = Array.from({ length: count }, () => newId<ShareTokenId>());
  const age = expiredFor === undefined ? 0 : lifetime + expiredFor;
  const createdAt = new Date(Date.now() - age * 1_000);
  const expiresAt = new Date(createdAt.getTime() + lifetime * 1_000);
  for (let start = 0; start < count; start += rowsPerStatement) {
    const rows = ids
      .slice(start, start + rowsPerStatement)
      .map((id) => [
        toBinary(id),
        toBinary(applicationId),
        toBinary(sessionId),
        'user',
        toBinary(newId()),
        false,
        toBinary(apiKeyId),
        createdAt,
        expiresAt,
        expiredFor !== undefined,
      ]);
    await write(db, {
      sql: `INSERT INTO share_tokens (id, application_id, session_id, session_kind,
              for_application_id, linked_sessions, api_key_id, created_at, expires_at,
              expiry_told)
            VALUES ?`,
      bindings: [rows],
    });
  }
  return ids;
}

const rowsPerStatement = 5_000;
