import { mock } from 'node:test';
import { expect } from 'chai';
import { Lane, type QueuedImport } from '../../src/import/lane';
import { pause } from '../support/helpers';

/** A lane whose groups run until the test ends them. */
function start(workers: number, groupSize: number) {
  const groups: { readonly owners: string; readonly end: (answered: boolean) => void }[] = [];
  let begun: (() => void) | undefined;
  const lane = new Lane(
    (calls) =>
      new Promise((resolve) => {
        groups.push({
          owners: calls.map(({ request }) => request.applicationId).join(''),
          end: resolve,
        });
        begun?.();
      }),
    { workers, groupSize, groupRows: Number.POSITIVE_INFINITY, rowsOf: () => 1 },
  );
  return {
    add: (owners: string) => {
      for (const owner of owners.split('')) {
        lane.add({ request: { applicationId: owner } } as unknown as QueuedImport);
      }
    },
    owners: () => groups.map(({ owners }) => owners),
    end: (index: number, answered = true) => groups[index]?.end(answered),
    isStuck: (milliseconds: number) => lane.isStuck(milliseconds),
    /** Waits for the next group to begin. */
    next: () => new Promise<void>((resolve) => (begun = resolve)),
  };
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('a lane', () => {
  it('gives one application all workers and whole groups, as long as nobody else comes', async () => {
    const { add, owners } = start(2, 4);
    add('aaaa');
    await settled();
    add('aaaa');
    await settled();
    expect(owners()).to.deep.equal(['aaaa', 'aaaa']);
  });

  it('gives an application few places of a group while others wait', async () => {
    const { add, owners } = start(1, 16);
    add('aaaaaaaaaab');
    await settled();
    expect(owners()).to.deep.equal(['aba']);
  });

  it('keeps the last worker from an application that has one, for others and for a while', async () => {
    const { add, owners, end, next } = start(2, 16);
    add('ba');
    await settled();
    add('aaa');
    await settled();
    expect(owners()).to.deep.equal(['ba']);
    add('b');
    await settled();
    expect(owners()).to.deep.equal(['ba', 'aba']);
    end(1);
    await settled();
    // One is left. Nobody else comes for a while.
    expect(owners()).to.have.length(2);
    await next();
    expect(owners()).to.deep.equal(['ba', 'aba', 'a']);
  });

  it('keeps no worker from an application that has none', async () => {
    const { add, owners } = start(2, 16);
    add('b');
    await settled();
    add('a');
    await settled();
    expect(owners()).to.deep.equal(['b', 'a']);
  });

  it('lets a call wait for company while another group runs, and not if it is alone', async () => {
    const { add, owners, end } = start(2, 8);
    add('a');
    await settled();
    // This group takes so long that the next ones wait for more calls.
    await pause(40);
    end(0);
    await settled();
    add('b');
    await settled();
    expect(owners()).to.deep.equal(['a', 'b']);
    mock.timers.enable({ apis: ['setTimeout'] });
    try {
      add('c');
      await settled();
      add('d');
      expect(owners()).to.have.length(2);
      mock.timers.tick(5);
      expect(owners()).to.deep.equal(['a', 'b', 'cd']);
    } finally {
      mock.timers.reset();
    }
  });

  it('is stuck while all workers are busy, until the database has let one of them end', async () => {
    const { add, end, isStuck } = start(2, 1);
    add('a');
    await settled();
    expect(isStuck(0)).to.equal(false);
    add('bcd');
    await settled();
    expect(isStuck(0)).to.equal(true);
    expect(isStuck(60_000)).to.equal(false);
    const begun = performance.now();
    await pause(10);
    end(0, false);
    await settled();
    expect(isStuck(performance.now() - begun)).to.equal(true);
    end(1);
    await settled();
    expect(isStuck(performance.now() - begun)).to.equal(false);
  });
});
