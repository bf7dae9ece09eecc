import type { Database } from '../../db/database';
import { allOf, query, read, sql, type Statement } from '../../db/query';
import type { ConnectedPair } from '../../model/connection';
import { connectionSides, type ConnectionSide } from '../../model/connection-record';
import { firstIdOf, toBinary, type ApplicationId, type ConnectionId } from '../../model/ids';
import type { Problem } from '../../model/problems';
import { applicationColumns } from './rows';

/** The most open proposals of an application, in both directions. */
const mostProposals = 100;

/**
 * The most proposals that an application makes to another one in one direction within {@link lately}, whatever becomes
 * of them: they all stay in the other one's lists.
 */
const mostProposalsLately = 20;

/** How long a proposal counts as recent, in milliseconds: 24 hours. */
const lately = 86_400_000;

/** What the limits of a proposal depend on. */
interface Counted extends ConnectedPair {
  /** The side that proposes. */
  readonly party: ConnectionSide;
  readonly at: Date;
}

/** The condition that one more proposal is allowed. It takes no locks, and looks at few rows. */
export function withinLimits(proposal: Counted): Statement {
  const open = openOnes(proposal);
  const recent = recentOnes(proposal);
  return allOf(
    sql(`${open.sql} < ${mostProposals}`, ...open.bindings),
    sql(`${recent.sql} < ${mostProposalsLately}`, ...recent.bindings),
  );
}

/** Which of the limits a refused proposal has exceeded. */
export async function exceededLimit(db: Database, proposal: Counted): Promise<Problem> {
  const { sql: counted, bindings } = recentOnes(proposal);
  const counts = query(
    sql(`SELECT ${counted} AS made`, ...bindings),
    ([row]: { readonly made: string | number }[]) => Number(row?.made),
  );
  const reason = 'TOO_MANY_PROPOSALS';
  return (await read(db, counts)) < mostProposalsLately
    ? { reason, limit: mostProposals }
    : { reason, limit: mostProposalsLately, otherApplicationId: otherOf(proposal) };
}

/** The number of open proposals that the application has made, up to the limit. */
function openOnes(proposal: Counted): Statement {
  const application = toBinary(proposerOf(proposal));
  const counts = connectionSides.map(
    (side) =>
      `(SELECT COUNT(*) FROM
         (SELECT 1 FROM session_connections FORCE INDEX (${openIndex(side)})
          WHERE ${applicationColumns[side]} = ? AND proposed_by = '${side}' AND open = 1
          LIMIT ${mostProposals}) ${side}s)`,
  );
  return sql(counts.join(' + '), ...connectionSides.map(() => application));
}

/**
 * The number of recent proposals to the same application, up to the limit. Only those that are not open any more are
 * counted: an open one is withdrawn before a new one is inserted. In this index, they are in the order of their ids.
 */
function recentOnes(proposal: Counted): Statement {
  return sql(
    `(SELECT COUNT(*) FROM
       (SELECT id FROM session_connections FORCE INDEX (session_connections_open_unique)
        WHERE source_application_id = ? AND recipient_application_id = ? AND proposed_by = ?
          AND open IS NULL
        ORDER BY id DESC LIMIT ${mostProposalsLately}) newest
      WHERE newest.id >= ?)`,
    toBinary(proposal.sourceApplicationId),
    toBinary(proposal.recipientApplicationId),
    proposal.party,
    toBinary(firstIdOf<ConnectionId>(new Date(proposal.at.getTime() - lately))),
  );
}

/** The application that proposes. */
export function proposerOf(proposal: Counted): ApplicationId {
  const { party, sourceApplicationId, recipientApplicationId } = proposal;
  return party === 'source' ? sourceApplicationId : recipientApplicationId;
}

function otherOf(proposal: Counted): ApplicationId {
  const { party, sourceApplicationId, recipientApplicationId } = proposal;
  return party === 'source' ? recipientApplicationId : sourceApplicationId;
}

/** The index that finds the open proposals which an application has made as one side. */
export function openIndex(side: ConnectionSide): string {
  return `session_connections_${side}_open_index`;
}
