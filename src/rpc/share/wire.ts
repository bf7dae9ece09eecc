import type { ShareToken } from '../../gen/sessionimport/v1/session_share';
import type { Actor } from '../../model/session';
import type { ListedShareToken } from '../../store/share-tokens';
import { wireGrounds } from '../grounds';
import { wireKinds } from '../wire';

/** A recorded share token, as the contract writes it. */
export function wireShare(share: ListedShareToken): ShareToken {
  return {
    shareTokenId: share.id,
    sessionId: share.sessionId,
    sessionKind: wireKinds[share.kind],
    forApplicationId: share.forApplicationId,
    createdAt: share.createdAt,
    expiresAt: share.expiresAt,
    redeemedAt: share.redeemedAt ?? undefined,
    revokedAt: share.revokedAt ?? undefined,
    sharedBy: wireActor(share.actor),
    includesLinkedSessions: share.linkedSessions,
    grounds: wireGrounds(share.grounds),
    relations: [...(share.scope ?? [])],
  };
}

function wireActor(actor: Actor | null): ShareToken['sharedBy'] {
  if (!actor) return undefined;
  return actor.apiKeyId === null
    ? { $case: 'gateway', value: actor.gateway }
    : { $case: 'apiKeyId', value: actor.apiKeyId };
}
