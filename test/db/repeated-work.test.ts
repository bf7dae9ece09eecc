import { expect } from 'chai';
import { RepeatedWork } from '../../src/db/repeated-work';
import { createLogger } from '../../src/telemetry/log';
import { Signal } from '../support/signal';

describe('work that is repeated', () => {
  let lines: string[];
  let done: Signal;
  const repeat = (
    work: (signal: AbortSignal) => Promise<boolean>,
    interval: number,
    first = 0,
  ): RepeatedWork => {
    lines = [];
    done = new Signal();
    const log = createLogger(
      { level: 'info', format: 'json' },
      { write: (line) => lines.push(line) },
    );
    return new RepeatedWork(work, { interval, first, complaint: 'it did not work', log });
  };

  it('goes on after a failure, which is logged once while it lasts', async () => {
    let times = 0;
    const work = repeat(() => {
      times += 1;
      done.fire();
      return Promise.reject(Object.assign(new Error('a secret'), { code: 'ECONNREFUSED' }));
    }, 1);
    await done.until(() => times >= 4);
    work.close();
    expect(lines).to.have.length(1);
    expect(JSON.parse(lines[0] ?? '')).to.include({ msg: 'it did not work', why: 'ECONNREFUSED' });
    expect(lines[0]).not.to.include('a secret');
  });

  it('is done again at once if there is more to be done', async () => {
    let times = 0;
    // The second time would come after an hour.
    const work = repeat(() => {
      times += 1;
      done.fire();
      return Promise.resolve(times < 3);
    }, 3_600_000);
    await done.until(() => times === 3);
    work.close();
  });

  it('is told to end, and is not done again nor complained about', async () => {
    let times = 0;
    let fail = (): void => undefined;
    const work = repeat(
      (signal) =>
        new Promise((_resolve, reject) => {
          times += 1;
          fail = () => {
            reject(new Error('the pool is closed'));
          };
          signal.addEventListener('abort', () => {
            done.fire();
          });
        }),
      0,
    );
    while (times === 0) await new Promise(setImmediate);
    work.close();
    fail();
    for (let turns = 0; turns < 20; turns++) await new Promise(setImmediate);
    expect(times).to.equal(1);
    expect(lines).to.deep.equal([]);
  });
});
