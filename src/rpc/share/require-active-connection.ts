import type { TextDatabase } from '../../db/database';
import { read } from '../../db/query';
import type { AskedTerms, ConnectedPair } from '../../model/connection';
import { judgeActive, judgeTerms } from '../../model/connection-rules';
import { ServiceError, type Problem } from '../../model/problems';
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
    async (from): Promise<Problem | undefined> => {
      const connections = await read(from, activeConnections([pair]));
      const connection = connections.get(pairKey(pair));
      const inactive = judgeActive(pair, connection, now);
      return inactive ?? (connection && asked && judgeTerms(connection, asked));
    },
    (refused) => refused !== undefined,
  );
  if (problem) throw new ServiceError(problem);
}
