import { listPart, readPage } from '../../db/bounded-list';
import { Keyset, type Page, type WantedPage } from '../../db/cursor';
import type { MultiDatabase } from '../../db/database';
import { allGiven, ifGiven, sql, type Statement } from '../../db/query';
import {
  connectionSides,
  otherSide,
  type ConnectionRecord,
  type ConnectionSide,
  type ConnectionState,
} from '../../model/connection-record';
import { toBinary, type ApplicationId } from '../../model/ids';
import { applicationColumns, connectionColumns, connectionOf } from './rows';

/** Which connections of an application are wanted; an undefined filter does not apply. */
export interface ConnectionFilter {
  readonly state: ConnectionState | undefined;
  /** The side that the application has. */
  readonly side: ConnectionSide | undefined;
  readonly otherApplicationId: ApplicationId | undefined;
}

/** The order of the lists: the newest first, since ids grow with time. */
export const connectionKeyset = new Keyset([{ name: 's.id', type: 'id' }], 'DESC');

const list = {
  table: 'session_connections',
  key: ['id'],
  keyset: connectionKeyset,
  columns: connectionColumns.map((column) => `s.${column}`).join(', '),
  itemOf: connectionOf,
};

/**
 * Lists the connections and proposals of an application.
 *
 * @param at the moment that the states are for: a proposal that has expired by then has ended.
 */
export function listConnections(
  db: MultiDatabase,
  applicationId: ApplicationId,
  { state, side, otherApplicationId }: ConnectionFilter,
  at: Date,
  page: WantedPage,
): Promise<Page<ConnectionRecord>> {
  const parts = connectionSides
    .filter((each) => side === undefined || each === side)
    .map((each) =>
      listPart(
        {
          ...list,
          index: `session_connections_${each}_index`,
          range: sql(`s.${applicationColumns[each]} = ?`, toBinary(applicationId)),
          filter: allGiven(
            ifGiven(state, (wanted) => isIn(wanted, at)),
            ifGiven(otherApplicationId, (id) =>
              sql(`s.${applicationColumns[otherSide(each)]} = ?`, toBinary(id)),
            ),
          ),
        },
        page,
      ),
    );
  return readPage(db, connectionKeyset, parts, page.size);
}

/** Lists the connections and proposals of all applications, for an operator. */
export function listAllConnections(
  db: MultiDatabase,
  state: ConnectionState | undefined,
  at: Date,
  page: WantedPage,
): Promise<Page<ConnectionRecord>> {
  const filter = ifGiven(state, (wanted) => isIn(wanted, at));
  const part = listPart({ ...list, index: 'PRIMARY', range: sql('TRUE'), filter }, page);
  return readPage(db, connectionKeyset, [part], page.size);
}

/** The condition that a connection is in a state: the same as `standingOf` says. */
function isIn(state: ConnectionState, at: Date): Statement {
  switch (state) {
    case 'active':
      return sql('s.active = 1');
    case 'proposed':
      return sql('s.open = 1 AND s.expires_at > ?', at);
    case 'ended':
      return sql('s.active IS NULL AND (s.open IS NULL OR s.expires_at <= ?)', at);
  }
}
