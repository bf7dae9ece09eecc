import type { TextDatabase } from '../../db/database';
import { read } from '../../db/query';
import type { AskedTerms, ConnectedPair } from '../../model/connection';
import { judgeConnection } from '../../model/connection-rules';
import { ServiceError } from '../../model/problems';
import { activeConnections, pairKey } from '../../store/connections/active';
import { readSurely } from '../../store/surely';

/**
 * Requires an active connection of two applications that is certified now and allows a share.
 *
 * @param asked undefined: the session to share was not found, so that only the connection itself is judged.
 * @throws ServiceError with CONNECTION_NOT_ACTIVE or CONNECTION_TERMS_EXCEEDED
 */
export async function requireActiveConnection(
  db: TextDatabase,
  pair: ConnectedPair,
  asked: AskedTerms | undefined,
  now: Date,
): Promise<void> {
  const problem = await readSurely(
    db,
    async (from) => {
      const connections = await read(from, activeConnections([pair]));
      return judgeConnection(pair, connections.get(pairKey(pair)), asked, now);
    },
    (refused) => refused !== undefined,
  );
  if (problem) throw new ServiceError(problem);
}
