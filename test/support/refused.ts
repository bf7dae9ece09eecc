import { createApiKey } from '../../src/store/accounts';
import { newId, toBinary, type ApplicationId } from '../../src/model/ids';
import type { SessionStatus } from '../../src/model/session';
import type { ImportSessionRequest } from '../../src/gen/sessionimport/v1/session_import';
import { signShareToken } from '../../src/token/signing';
import { createSession, createTenant } from './fixtures';
import { select } from './rows';
import type { Harness } from './service';

/** A call to import a session that is refused, and the reason that it is told. */
export interface RefusedCall {
  readonly reason: string;
  readonly apiKey: string;
  readonly request: Partial<ImportSessionRequest>;
}

/** Calls that are refused before, and while, a group has to do with them. */
export interface RefusedCalls {
  readonly atTheDoor: readonly RefusedCall[];
  readonly inTheGroup: readonly RefusedCall[];
}

/**
 * Calls of the importing application, one or two for each reason, in the order in which the conditions
 * are checked. Each is wrong in the way that it names, and in every later way that goes with it.
 */
export async function refusedCalls({
  db,
  source,
  target,
  signer,
  client,
}: Pick<Harness, 'db' | 'source' | 'target' | 'signer' | 'client'>): Promise<RefusedCalls> {
  const { apiKey: powerless } = await createApiKey(db, {
    applicationId: target.applicationId,
    name: 'powerless',
    privileges: [],
    expiresAt: null,
  });
  const third = await createTenant(db);
  const tokenOf = async (status: SessionStatus): Promise<string> =>
    signer.share(source, target, 'user', await createSession(db, source, 'user', { status }));
  const missing = await signer.share(source, target, 'user', newId());
  const forThird = await signer.share(source, third, 'user', newId());
  const expired = await signShareToken(signer.privateJwk, {
    sessionId: newId(),
    kind: 'user',
    fromApplicationId: source.applicationId,
    forApplicationId: third.applicationId,
    lifetime: 1,
    issuedAt: new Date(Date.now() - 5_000),
  });
  const importedBefore = await tokenOf('Approved');
  const { user, business: otherKind } = target.workflows;
  await client.import(target.apiKey, { shareToken: importedBefore, workflowId: user });
  const unknown = newId();

  const refused = (
    reason: string,
    shareToken: string,
    workflowId: string,
    apiKey = target.apiKey,
  ): RefusedCall => ({ reason, apiKey, request: { shareToken, workflowId } });
  return {
    atTheDoor: [
      refused('API_KEY_INVALID', '', '', 'sik_unknown'),
      refused('PRIVILEGE_MISSING', '', '', powerless),
      refused('INVALID_REQUEST', 'nonsense', ''),
      refused('SHARE_TOKEN_INVALID', `${expired}A`, unknown),
      refused('SHARE_TOKEN_EXPIRED', expired, unknown),
      refused('SHARE_TOKEN_NOT_FOR_APPLICATION', forThird, unknown),
    ],
    inTheGroup: [
      refused('SESSION_ALREADY_IMPORTED', importedBefore, unknown),
      refused('SOURCE_SESSION_NOT_FOUND', missing, unknown),
      refused('SOURCE_SESSION_NOT_FINISHED', await tokenOf('In Progress'), unknown),
      refused('SOURCE_SESSION_NOT_FINISHED', await tokenOf('In Progress'), otherKind),
      refused('WORKFLOW_NOT_FOUND', await tokenOf('Approved'), unknown),
      refused('WORKFLOW_NOT_FOUND', await tokenOf('Approved'), third.workflows.business),
      refused('WORKFLOW_KIND_MISMATCH', await tokenOf('Approved'), otherKind),
    ],
  };
}

/** What is on record of the refused imports of an application, in the order of their times. */
export const refusalsOf = ({ applicationId }: { readonly applicationId: ApplicationId }) =>
  select('SELECT * FROM import_refusals WHERE application_id = ? ORDER BY created_at, id', [
    toBinary(applicationId),
  ]);
