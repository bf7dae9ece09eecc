import type { ImportSessionRequest } from '../../src/gen/sessionimport/v1/session_import';
import type { SessionId } from '../../src/model/ids';
import { kindSchemas } from '../../src/model/relations';
import { scopeOfChoice, shareableNames } from '../../src/model/scope';
import type { SessionKind } from '../../src/model/session';
import { signShareToken } from '../../src/token/signing';
import type { Tenant } from './fixtures';
import type { Harness } from './service';

/** Everything that a session of a kind can share, by name. */
export const namesOf = (kind: SessionKind): readonly string[] => [...shareableNames([kind])];

/** A name with that of the relation that its rows belong to. */
export function withParent(kind: SessionKind, name: string): readonly string[] {
  const relation = kindSchemas[kind].relations.find((each) => each.name === name);
  return relation?.below ? [relation.below.relation, name] : [name];
}

/** The request that imports a session of `from`, of which only some relations are shared. */
export async function requestFor(
  { signer }: Pick<Harness, 'signer'>,
  from: Pick<Tenant, 'applicationId'>,
  to: Tenant,
  kind: SessionKind,
  sessionId: SessionId,
  names: readonly string[],
  linked = false,
): Promise<Partial<ImportSessionRequest>> {
  return {
    shareToken: await signShareToken(signer.privateJwk, {
      ...{ sessionId, kind, lifetime: 600, includeLinkedSessions: linked },
      fromApplicationId: from.applicationId,
      forApplicationId: to.applicationId,
      scope: scopeOfChoice(names),
    }),
    workflowId: to.workflows[kind],
    ...(linked ? { includeLinkedSessions: true, linkedWorkflowId: to.workflows.user } : {}),
  };
}
