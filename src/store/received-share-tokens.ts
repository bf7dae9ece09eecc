import { listPart, readPage } from '../db/bounded-list';
import { Keyset, type Page, type WantedPage } from '../db/cursor';
import type { MultiDatabase } from '../db/database';
import { allOf, ifGiven, sql } from '../db/query';
import { fromBinary, toBinary, type ApplicationId, type ShareTokenId } from '../model/ids';
import type { Grounds } from '../model/grounds';
import type { Scope } from '../model/scope';
import type { SessionKind } from '../model/session';
import { sessionWasErased } from './erasures';
import { groundsColumnsOf, groundsOf, type GroundsRow } from './grounds-columns';
import { sessionWasImported } from './ledger/entries';
import { scopeColumn, scopeOf, type ScopeRow } from './scope-column';
import { importsStopped } from './withdrawals/rows';

/**
 * A share token, as the application that it is for may see it. The session's id is missing: until the other
 * application hands over the token, which contains it, the recipient must not learn which tokens are for the
 * same session.
 */
export interface ReceivedShareToken {
  readonly id: ShareTokenId;
  readonly kind: SessionKind;
  readonly sourceApplicationId: ApplicationId;
  readonly linkedSessions: boolean;
  /** What is shared of the session, and of those of its key people. */
  readonly scope: Scope;
  readonly grounds: Grounds | null;
  readonly createdAt: Date;
  readonly expiresAt: Date;
}

/** Which of the share tokens for an application are wanted; an undefined filter does not apply. */
export interface ReceivedFilter {
  readonly kind: SessionKind | undefined;
  readonly sourceApplicationId: ApplicationId | undefined;
  /** Only tokens that expire after this time. */
  readonly expireAfter: Date | undefined;
}

/** The order of {@link listReceivedShares}: that of the index, so that the live tokens come first. */
export const receivedKeyset = new Keyset(
  [
    { name: 's.expires_at', type: 'moment' },
    { name: 's.id', type: 'id' },
  ],
  'DESC',
);

type Row = GroundsRow &
  ScopeRow &
  Readonly<Record<'id' | 'application_id', Buffer> & Record<'created_at' | 'expires_at', Date>> & {
    readonly session_kind: SessionKind;
    readonly linked_sessions: number;
  };

/**
 * Lists the share tokens for an application, except revoked ones, those whose sessions it has imported, and those
 * whose sessions were erased, or can't be imported because of a withdrawal. Those that expire last come first.
 */
export function listReceivedShares(
  db: MultiDatabase,
  recipient: ApplicationId,
  { kind, sourceApplicationId, expireAfter }: ReceivedFilter,
  page: WantedPage,
): Promise<Page<ReceivedShareToken>> {
  const part = listPart(
    {
      table: 'share_tokens',
      key: ['id'],
      index: 'share_tokens_for_application_id_expires_at_index',
      keyset: receivedKeyset,
      columns: `s.id, s.application_id, s.session_kind, s.linked_sessions, s.created_at, s.expires_at,
        s.${scopeColumn}, ${groundsColumnsOf('s')}`,
      range: allOf(
        sql('s.for_application_id = ?', toBinary(recipient)),
        ifGiven(expireAfter, (moment) => sql('s.expires_at > ?', moment)),
      ),
      filter: allOf(
        sql(`s.revoked_at IS NULL AND NOT ${sessionWasImported} AND NOT ${sessionWasErased}
          AND NOT ${importsStopped('s.session_id')}`),
        ifGiven(kind, (value) => sql('s.session_kind = ?', value)),
        ifGiven(sourceApplicationId, (id) => sql('s.application_id = ?', toBinary(id))),
      ),
      itemOf: receivedShareToken,
    },
    page,
  );
  return readPage(db, receivedKeyset, [part], page.size);
}

function receivedShareToken(row: Row): ReceivedShareToken {
  return {
    id: fromBinary(row.id),
    kind: row.session_kind,
    sourceApplicationId: fromBinary(row.application_id),
    linkedSessions: row.linked_sessions === 1,
    scope: scopeOf(row),
    grounds: groundsOf(row),
    createdAt: row.created_at,
    expiresAt: row.expires_at,
  };
}
