import { z } from 'zod';
import type { ApplicationId, SessionId } from '../../model/ids';
import { keyColumns, type RowKey } from '../../store/relations';
import { Pages } from '../call/paging';

/** The pages of one relation of a session: GetSession begins them, and ListSessionRows goes on. */
export function rowPages(
  applicationId: ApplicationId,
  sessionId: SessionId,
  relation: string,
): Pages<RowKey> {
  return new Pages(
    ['ListSessionRows', applicationId, sessionId, relation],
    z.array(z.number().int()).length(keyColumns(relation).length),
  );
}
