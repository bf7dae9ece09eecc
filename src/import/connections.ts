import type { ResultSetHeader } from 'mysql2';
import { Overtaken } from '../db/errors';
import { writeTogether, type Statement } from '../db/query';
import { must } from '../model/must';
import { markUsed } from '../store/connections/active';
import type { AdmittedImport, Transaction } from './planned-import';

/**
 * Runs the last statements before COMMIT, and then marks the connections that the calls rest on as used. All of this
 * is one round trip.
 *
 * @param calls all have the same `createdAt`.
 * @returns what the given statements did.
 * @throws Overtaken if one of the connections has ended since it was read: nothing may be committed.
 */
export async function writeAndUse(
  trx: Transaction,
  statements: readonly Statement[],
  calls: readonly AdmittedImport[],
): Promise<ResultSetHeader[]> {
  const ids = [...new Set(calls.flatMap(({ connectionId }) => connectionId ?? []))];
  const [first] = calls;
  if (!first || ids.length === 0) return writeTogether(trx, statements);
  const results = await writeTogether(trx, [...statements, markUsed(ids, first.createdAt)]);
  const marked = must(results.pop(), 'what marking the connections did').affectedRows;
  if (marked < ids.length) throw new Overtaken('a connection has ended');
  return results;
}
