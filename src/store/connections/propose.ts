import type { MultiDatabase } from '../../db/database';
import {
  query,
  read,
  readTogether,
  sql,
  writeTogether,
  type Query,
  type Statement,
} from '../../db/query';
import { inTransaction } from '../../db/transaction';
import type { ConnectionTerms } from '../../model/connection';
import {
  connectionSides,
  expiryOf,
  standingOf,
  type ConnectionRecord,
  type ConnectionSide,
} from '../../model/connection-record';
import { sameTerms } from '../../model/connection-terms';
import { fromBinary, toBinary, type ConnectionId } from '../../model/ids';
import { must } from '../../model/must';
import { ServiceError } from '../../model/problems';
import { requireWritable } from '../session-numbers';
import type { ConnectedPair } from '../../model/connection';
import {
  changeBy,
  endLocked,
  lockConnections,
  unlessOvertaken,
  written,
  type ConnectionChanger,
} from './change';
import { actorBindings } from '../actor-columns';
import { recordConnectionEvents } from './events';
import { connectionById } from './find';
import { exceededLimit, openIndex, proposerOf, withinLimits } from './proposal-limits';
import { applicationColumns } from './rows';
import { termsBindings, termsColumns } from './terms';

/** The most expired proposals that one new proposal records as ended, in each direction. */
const mostExpired = 100;

/** A proposal that one side makes. */
export interface NewProposal extends ConnectedPair, ConnectionChanger {
  /** Made before the first try, so that a later one finds what an earlier one has written. */
  readonly id: ConnectionId;
  readonly terms: ConnectionTerms;
  readonly party: ConnectionSide;
  /** Whether there was an earlier try, whose COMMIT may have been lost. */
  readonly triedBefore: boolean;
}

/** A proposal that is made at a moment. */
type Proposal = ReturnType<typeof changeBy<NewProposal>>;

/**
 * Proposes a connection, or finds the same proposal if it is open. An open proposal of the same side with other terms
 * is withdrawn.
 *
 * It never checks whether the other application exists. It counts proposals without a lock, so calls that run at the
 * same moment may exceed the limits by as many as there are connections for them.
 *
 * @throws ServiceError with TOO_MANY_PROPOSALS if the application has too many open ones, or has made too many to the
 * same application lately. Nothing is changed then: an open proposal of other terms stays open.
 */
export function proposeConnection(
  db: MultiDatabase,
  wanted: NewProposal,
): Promise<ConnectionRecord> {
  return inTransaction(db, async (trx) => {
    if (wanted.triedBefore) {
      const earlier = await read(trx, connectionById(wanted.id, undefined));
      if (earlier) return earlier;
    }
    const first = changeBy(wanted);
    const [open, ...expired] = await readTogether(trx, [
      openId(first),
      ...connectionSides.map((side) => expiredIds(side, first)),
    ]);
    const ids = [...(open ? [open] : []), ...expired.flat()];
    const locked = ids.length > 0 ? [...(await read(trx, lockConnections(ids))).values()] : [];
    const proposal = changeBy(wanted);
    const standing = locked.find(
      (found) => found.id === open && standingOf(found, proposal.at).state === 'proposed',
    );
    if (standing && sameTerms(standing.terms, proposal.terms)) {
      await requireWritable(trx);
      return standing;
    }
    const over = locked.filter((found) => found.open && found !== standing);
    const done = await unlessOvertaken(() =>
      writeTogether(trx, [
        ...(over.length > 0 ? [expireLocked(over)] : []),
        ...(standing ? [endLocked(standing.id, proposal)] : []),
        recordConnectionEvents(
          proposal.at,
          ...(standing ? [['connection_ended', standing] as const] : []),
          ['connection_proposed', proposal],
        ),
        insertProposal(proposal),
      ]),
    );
    if (must(done.at(-1), 'what was inserted').affectedRows === 0) {
      throw new ServiceError(await exceededLimit(trx, proposal));
    }
    return written(trx, proposal.id);
  });
}

/** The open proposal of the same side for the same pair; it may have expired. */
function openId(proposal: Proposal): Query<ConnectionId | undefined> {
  return query(
    sql(
      `SELECT id FROM session_connections FORCE INDEX (session_connections_open_unique)
       WHERE source_application_id = ? AND recipient_application_id = ? AND proposed_by = ? AND open = 1`,
      toBinary(proposal.sourceApplicationId),
      toBinary(proposal.recipientApplicationId),
      proposal.party,
    ),
    ([row]: { readonly id: Buffer }[]) => row && fromBinary<ConnectionId>(row.id),
  );
}

/**
 * Proposals of the application that have expired, and are not recorded as ended. There are few, because each new
 * proposal records them, and {@link withinLimits} bounds how many are open or in this state.
 */
function expiredIds(side: ConnectionSide, proposal: Proposal): Query<readonly ConnectionId[]> {
  return query(
    sql(
      `SELECT id FROM session_connections FORCE INDEX (${openIndex(side)})
       WHERE ${applicationColumns[side]} = ? AND proposed_by = ? AND open = 1 AND expires_at <= ?
       LIMIT ${mostExpired}`,
      toBinary(proposerOf(proposal)),
      side,
      proposal.at,
    ),
    (rows: { readonly id: Buffer }[]) => rows.map(({ id }) => fromBinary<ConnectionId>(id)),
  );
}

/** Records that proposals have expired. @param expired at least one, and all locked by the transaction. */
function expireLocked(expired: readonly ConnectionRecord[]): Statement {
  return sql(
    `UPDATE session_connections FORCE INDEX (PRIMARY) SET open = NULL, ended_at = expires_at
     WHERE id IN (?)`,
    expired.map(({ id }) => toBinary(id)),
  );
}

/** Inserts a proposal, unless there are too many. */
function insertProposal(proposal: Proposal): Statement {
  const allowed = withinLimits(proposal);
  return sql(
    `INSERT INTO session_connections
       (id, source_application_id, recipient_application_id, open, ${termsColumns.join(', ')},
        proposed_by, proposed_by_api_key_id, proposed_by_gateway, created_at, expires_at)
     SELECT ? FROM DUAL WHERE ${allowed.sql}`,
    [
      toBinary(proposal.id),
      toBinary(proposal.sourceApplicationId),
      toBinary(proposal.recipientApplicationId),
      true,
      ...termsBindings(proposal.terms),
      proposal.party,
      ...actorBindings(proposal.actor),
      proposal.at,
      expiryOf(proposal.terms, proposal.at),
    ],
    ...allowed.bindings,
  );
}
