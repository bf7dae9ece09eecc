import { expect } from 'chai';
import * as fc from 'fast-check';
import { ServiceError } from '../../src/model/problems';
import { Turns } from '../../src/turns/turns';

/** Work that ends when the test says so. */
interface Job {
  readonly owner: string;
  readonly finish: () => void;
}

/** Runs work in turns, and keeps what runs, in the order in which it began. */
function start(options: ConstructorParameters<typeof Turns<string>>[0]) {
  const turns = new Turns<string>(options);
  const running: Job[] = [];
  const begun: string[] = [];
  const never = new AbortController().signal;
  const run = (owner: string, signal = never): Promise<unknown> =>
    turns.run(owner, signal, () => {
      begun.push(owner);
      return new Promise<void>((resolve) => {
        const job: Job = {
          owner,
          finish: () => {
            running.splice(running.indexOf(job), 1);
            resolve();
          },
        };
        running.push(job);
      });
    });
  return { turns, running, begun, run };
}

/** Lets everything that is due happen. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('turns', () => {
  it('run no more at once than they may, in all and of one owner, and leave no place empty', async () => {
    const owners = fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(owners, fc.integer({ min: 1, max: 3 }), async (arrivals, ofOneOwner) => {
        const { turns, running, run } = start({
          atOnce: 3,
          ofOneOwner: () => ofOneOwner,
          limit: 100,
        });
        const ends = arrivals.map((owner) => run(owner));
        await settled();
        let done = 0;
        while (done < arrivals.length) {
          const count = (owner: string): number =>
            running.filter((job) => job.owner === owner).length;
          const waiting = arrivals.length - done - running.length;
          expect(running.length).to.be.within(1, 3);
          for (const owner of ['a', 'b', 'c']) expect(count(owner)).to.be.at.most(ofOneOwner);
          expect(turns.waiting).to.equal(waiting);
          running[0]?.finish();
          done++;
          await settled();
        }
        await Promise.all(ends);
      }),
      { numRuns: 30 },
    );
  });

  it('leave a place to others, whatever one owner wants', async () => {
    const { begun, run } = start({ atOnce: 4, ofOneOwner: () => 3, limit: 100 });
    for (let i = 0; i < 10; i++) void run('many');
    void run('one');
    await settled();
    expect(begun).to.deep.equal(['many', 'many', 'many', 'one']);
  });

  it('take no place from an owner that may have fewer now, and use all as soon as it may have more', async () => {
    let places = 3;
    const { begun, running, run } = start({ atOnce: 4, ofOneOwner: () => places, limit: 100 });
    for (let i = 0; i < 12; i++) void run('one');
    await settled();
    expect(running.length).to.equal(3);
    places = 1;
    for (const left of [2, 1, 1]) {
      running[0]?.finish();
      await settled();
      expect(running.length).to.equal(left);
    }
    places = 3;
    running[0]?.finish();
    await settled();
    expect(running.length).to.equal(3);
    expect(begun.length).to.equal(7);
  });

  it('begin what waits before what comes later, if its owner may have more meanwhile', async () => {
    let places = 1;
    const { turns, begun } = start({ atOnce: 4, ofOneOwner: () => places, limit: 100 });
    const { signal } = new AbortController();
    const never = new Promise<void>(() => undefined);
    const runNamed = (name: string): void => {
      void turns.run('one', signal, () => {
        begun.push(name);
        return never;
      });
    };
    for (const name of ['first', 'second', 'third']) runNamed(name);
    await settled();
    places = 2;
    runNamed('fourth');
    await settled();
    expect(begun).to.deep.equal(['first', 'second']);
    expect(turns.waiting).to.equal(2);
  });

  it('go round among the owners that wait', async () => {
    const { begun, running, run } = start({ atOnce: 1, ofOneOwner: () => 1, limit: 100 });
    for (const owner of ['a', 'a', 'a', 'b', 'c', 'c']) void run(owner);
    await settled();
    for (let i = 0; i < 5; i++) {
      running[0]?.finish();
      await settled();
    }
    expect(begun).to.deep.equal(['a', 'a', 'b', 'c', 'a', 'c']);
  });

  it('begin nothing that was given up, before or while it waited', async () => {
    const { turns, begun, running, run } = start({ atOnce: 1, ofOneOwner: () => 1, limit: 100 });
    void run('a');
    const cancelled = new AbortController();
    const waiting = run('b', cancelled.signal);
    cancelled.abort();
    const late = run('c', cancelled.signal);
    for (const each of [waiting, late]) {
      expect(await each.catch((error: unknown) => (error as Error).name)).to.equal('CallAbandoned');
    }
    expect(turns.waiting).to.equal(0);
    running[0]?.finish();
    await settled();
    expect(begun).to.deep.equal(['a']);
  });

  it('refuse work if too much waits, or else the newest of the owner who has most', async () => {
    const { turns, running, run } = start({ atOnce: 1, ofOneOwner: () => 1, limit: 3 });
    void run('a');
    await settled();
    const many = [run('a'), run('a'), run('a'), run('a')];
    const one = run('b');
    expect(turns.waiting).to.equal(3);
    const ended = Promise.allSettled([...many, one]);
    for (let i = 0; i < 5; i++) {
      running[0]?.finish();
      await settled();
    }
    const refused = (await ended).map(
      (each) =>
        each.status === 'rejected' &&
        each.reason instanceof ServiceError &&
        each.reason.problem.reason,
    );
    expect(refused).to.deep.equal([false, false, 'OVERLOADED', 'OVERLOADED', false]);
  });

  it('go on after work that fails', async () => {
    const turns = new Turns<string>({ atOnce: 1, ofOneOwner: () => 1, limit: 3 });
    const { signal } = new AbortController();
    const failing = turns.run('a', signal, () => Promise.reject(new Error('on purpose')));
    expect(await failing.catch((error: unknown) => (error as Error).message)).to.equal(
      'on purpose',
    );
    expect(await turns.run('b', signal, () => Promise.resolve('done'))).to.equal('done');
  });
});
