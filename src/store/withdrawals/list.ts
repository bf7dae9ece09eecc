import { listPart, readPage } from '../../db/bounded-list';
import { Keyset, type Page, type WantedPage } from '../../db/cursor';
import type { MultiDatabase } from '../../db/database';
import { allOf, ifGiven, query, sql, type Query } from '../../db/query';
import type { ConnectionSide } from '../../model/connection-record';
import { toBinary, type ApplicationId, type SessionId } from '../../model/ids';
import { must } from '../../model/must';
import type { WaitingCount } from '../../model/retention';
import type { WithdrawnCopy } from '../../model/withdrawals';
import { copyColumns, copyOf } from './rows';

/**
 * The orders of the lists: the newest withdrawal first, since ids grow with time. A page token has the place where its
 * page begins, and a source must not learn the ids of the copies. An application has one copy of a session at most.
 */
export const withdrawalKeysets: Readonly<Record<ConnectionSide, Keyset>> = {
  source: new Keyset(
    [
      { name: 's.withdrawal_id', type: 'id' },
      { name: 's.parent_session_id', type: 'id' },
      { name: 's.application_id', type: 'id' },
    ],
    'DESC',
  ),
  recipient: new Keyset(
    [
      { name: 's.withdrawal_id', type: 'id' },
      { name: 's.session_id', type: 'id' },
    ],
    'DESC',
  ),
};

/** The columns with the application and the session of a side. */
const columnsOf = {
  source: { application: 'parent_application_id', session: 'parent_session_id' },
  recipient: { application: 'application_id', session: 'session_id' },
} as const;

/**
 * Lists withdrawn copies: those of a recipient, or those that others have made directly of the sessions of a source.
 *
 * @param sessionId a session of the application; undefined: all of them.
 */
export function listWithdrawnCopies(
  db: MultiDatabase,
  applicationId: ApplicationId,
  side: ConnectionSide,
  sessionId: SessionId | undefined,
  page: WantedPage,
): Promise<Page<WithdrawnCopy>> {
  const { application, session } = columnsOf[side];
  const keyset = withdrawalKeysets[side];
  const part = listPart(
    {
      table: 'session_withdrawals',
      key: ['withdrawal_id', 'session_id'],
      index: `session_withdrawals_${side}_index`,
      keyset,
      columns: copyColumns.map((column) => `s.${column}`).join(', '),
      range: sql(`s.${application} = ?`, toBinary(applicationId)),
      filter: allOf(
        sql('s.parent_session_id IS NOT NULL'),
        ifGiven(sessionId, (id) => sql(`s.${session} = ?`, toBinary(id))),
      ),
      itemOf: copyOf,
    },
    page,
  );
  return readPage(db, keyset, [part], page.size);
}

/** How many copies wait for their applications to be told, and since when. @param most where counting stops. */
export function waitingCopiesCount(most: number): Query<WaitingCount> {
  return query(
    sql(
      `SELECT COUNT(*) AS waiting, MIN(w.withdrawn_at) AS oldest FROM
         (SELECT withdrawn_at FROM session_withdrawals WHERE told_at IS NULL LIMIT ?) w`,
      most,
    ),
    ([row]: WaitingCount[]) => must(row, 'a count of copies'),
  );
}
