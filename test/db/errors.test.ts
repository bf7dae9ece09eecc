import { expect } from 'chai';
import { databaseFailure, NotConnected, silence, toServiceError } from '../../src/db/errors';
import { createRetry, defaultRetryPolicy, readRetryPolicy } from '../../src/db/retry';

const coded = (code: string): Error => Object.assign(new Error('in words'), { code });

describe('a failure of the database', () => {
  const slow: Readonly<Record<string, Error>> = {
    'a server that takes a connection and says nothing': new NotConnected(coded('ETIMEDOUT')),
    'a server that does not answer on a new connection': new NotConnected(coded(silence)),
    'a server that does not answer any more': coded(silence),
    'a network that loses what is sent': coded('ETIMEDOUT'),
    'a pool that gets no connection': Object.assign(new Error(), { name: 'KnexTimeoutError' }),
  };
  for (const [what, error] of Object.entries(slow)) {
    it(`by ${what} is found out no more often than its caller has time for`, async () => {
      const tries = async (policy: typeof defaultRetryPolicy): Promise<number> => {
        let count = 0;
        const work = (): Promise<never> => {
          count++;
          return Promise.reject(error);
        };
        await createRetry(() => undefined)(work, policy).catch(() => undefined);
        return count;
      };
      expect(await tries(defaultRetryPolicy)).to.equal(2);
      expect(await tries(readRetryPolicy)).to.equal(1);
      expect(toServiceError(error).problem.reason).to.equal('DATABASE_UNAVAILABLE');
    });
  }

  it('by a server that can not be reached is found out at once, and tried again', () => {
    for (const code of ['ECONNREFUSED', 'ER_CON_COUNT_ERROR', 'ER_ACCESS_DENIED_ERROR'])
      expect(databaseFailure(new NotConnected(coded(code)))).to.equal('unreachable');
  });

  it('by a Galera node that loses its cluster during COMMIT is tried again elsewhere', () => {
    expect(databaseFailure(coded('EE_DELETE'))).to.equal('unreachable');
  });

  it('by a server without disk or memory is not the fault of the service', () => {
    for (const code of [
      'EE_WRITE',
      'ER_DISK_FULL',
      'ER_RECORD_FILE_FULL',
      'ER_ERROR_ON_WRITE',
      'ER_BINLOG_LOGGING_IMPOSSIBLE',
      'ER_OUTOFMEMORY',
      'ER_OUT_OF_RESOURCES',
      'ER_TOO_MANY_CONCURRENT_TRXS',
    ]) {
      expect(toServiceError(coded(code)).problem.reason).to.equal('DATABASE_UNAVAILABLE');
    }
  });
});
