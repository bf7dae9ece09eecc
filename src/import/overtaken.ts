import { isDeepStrictEqual } from 'node:util';
import { isMissingReference, Overtaken } from '../db/errors';
import { readTogether } from '../db/query';
import type { SessionId } from '../model/ids';
import { workflowsById } from '../store/accounts';
import { activeConnections, pairKey } from '../store/connections/active';
import type { ClonePlan } from '../store/relations/clone-plan';
import { vendorEntitiesByName } from '../store/vendor-entities';
import type { AdmittedImport, Transaction } from './planned-import';
import { pairOf } from './request';
import type { Facts } from './rules';
import { byPart, countsOf, groupParts, partKey, type SourcePart } from './source-parts';
import { planVendorEntities, vendorNamesOf } from './vendor-entities';

/** Others have changed what some calls of a group rest on since it was read. The other calls of the group can go on. */
export class CallsOvertaken extends Overtaken {
  /** @param calls which calls were overtaken, by the ids that their copies would have had. */
  constructor(
    readonly calls: ReadonlySet<SessionId>,
    options: ErrorOptions,
  ) {
    super('what some of the calls rest on has changed', options);
  }
}

/**
 * Finds out whether the copies of a group could not be made because calls were overtaken, and which calls. A call whose
 * connection, workflow, vendor entity or source keeps changing then makes the other calls wait only once.
 *
 * @param trx must be rolled back afterwards.
 * @param calls those that were to be copied.
 * @returns the error to throw: {@link CallsOvertaken}, or the given one if it has another cause.
 */
export async function findOvertaken(
  trx: Transaction,
  plan: ClonePlan,
  calls: readonly AdmittedImport[],
  facts: Facts,
  error: unknown,
): Promise<unknown> {
  // After any other failure, MySQL may have rolled the transaction back, or the connection may be lost.
  if (!(error instanceof Overtaken) && !isMissingReference(error)) return error;
  const parts = groupParts(plan, calls.map(partOfCall));
  const pairs = calls.flatMap(({ request, connectionId }) => (connectionId ? pairOf(request) : []));
  const [vendorEntities, workflows, counts, connections] = await readTogether(trx, [
    vendorEntitiesByName(plan.schema, vendorNamesOf(calls)),
    workflowsById([...new Set(calls.map(({ request }) => request.workflowId))]),
    countsOf(parts),
    pairs.length > 0 ? activeConnections(pairs) : undefined,
  ]);
  const counted = byPart(parts, counts);
  const planned = planVendorEntities(plan.schema, calls, facts.vendorEntities);
  // Vendor entities that this transaction itself has made are no change by others.
  const own = new Set(calls.map(({ vendorEntityId }) => vendorEntityId));
  const others = new Map([...vendorEntities].filter(([, id]) => !own.has(id)));
  const found = planVendorEntities(plan.schema, calls, others);
  const overtaken = calls.filter(
    (call) =>
      !workflows.has(call.request.workflowId) ||
      planned.idOf(call) !== found.idOf(call) ||
      !isDeepStrictEqual(counted.get(partKey(partOfCall(call))), call.source.rows) ||
      (call.connectionId !== null &&
        connections?.get(pairKey(pairOf(call.request)))?.id !== call.connectionId),
  );
  if (overtaken.length === 0) return error;
  return new CallsOvertaken(new Set(overtaken.map(({ sessionId }) => sessionId)), { cause: error });
}

function partOfCall({ request, source }: AdmittedImport): SourcePart {
  return { id: request.sourceSessionId, scope: source.scope };
}
