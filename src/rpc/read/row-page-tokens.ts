import type { ApplicationId, SessionId } from '../../model/ids';
import type { Relation } from '../../model/relations';
import { keysetOf } from '../../store/relations/read';
import { PageTokens } from '../call/page-tokens';

/** The page tokens of a session's rows of one relation: GetSession begins, and ListSessionRows goes on. */
export function rowPageTokens(
  applicationId: ApplicationId,
  sessionId: SessionId,
  relation: Relation,
): PageTokens {
  const scope = ['ListSessionRows', applicationId, sessionId, relation.name];
  return new PageTokens(scope, keysetOf(relation));
}
