import { expect } from 'chai';
import { ServiceError } from '../../src/model/problems';
import { Batches } from '../../src/turns/batches';

/** Batches whose work ends when the test says so. */
function start(options: ConstructorParameters<typeof Batches>[1]) {
  const seen: (readonly string[])[] = [];
  let finish: (error?: Error) => void = () => undefined;
  const batches = new Batches<string, string, string>((items) => {
    seen.push(items);
    return new Promise((resolve, reject) => {
      finish = (error) => {
        if (error) reject(error);
        else resolve(items.map((item) => item.toUpperCase()));
      };
    });
  }, options);
  const next = async (error?: Error): Promise<void> => {
    finish(error);
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { batches, seen, next };
}

const reasonOf = (error: unknown): unknown =>
  error instanceof ServiceError ? error.problem.reason : error;

describe('batches', () => {
  it('take all that waits while one runs, and give each item its own result', async () => {
    const { batches, seen, next } = start({ size: 10, limit: 100 });
    const results = Promise.all(['a', 'b', 'c', 'd'].map((item) => batches.add('somebody', item)));
    await next();
    await next();
    expect(await results).to.deep.equal(['A', 'B', 'C', 'D']);
    expect(seen).to.deep.equal([['a'], ['b', 'c', 'd']]);
  });

  it('have a bounded size, and the owners take turns in them', async () => {
    const { batches, seen, next } = start({ size: 2, limit: 100 });
    const ended = Promise.all([
      ...['a1', 'a2', 'a3', 'a4'].map((item) => batches.add('a', item)),
      batches.add('b', 'b1'),
    ]);
    for (let i = 0; i < 3; i++) await next();
    await ended;
    expect(seen).to.deep.equal([['a1'], ['a2', 'b1'], ['a3', 'a4']]);
  });

  it('fail for all their own items, and for no others', async () => {
    const { batches, next } = start({ size: 2, limit: 100 });
    const ended = Promise.allSettled(
      ['a', 'b', 'c', 'd'].map((item) => batches.add('somebody', item)),
    );
    await next();
    await next(new Error('on purpose'));
    await next();
    const states = (await ended).map(({ status }) => status);
    expect(states).to.deep.equal(['fulfilled', 'rejected', 'rejected', 'fulfilled']);
  });

  it('refuse an item if they are full, or else the newest of the owner who has most', async () => {
    const { batches, next } = start({ size: 10, limit: 2 });
    const ended = Promise.allSettled([
      ...['a1', 'a2', 'a3', 'a4'].map((item) => batches.add('a', item)),
      batches.add('b', 'b1'),
    ]);
    await next();
    await next();
    const results = (await ended).map((each) =>
      each.status === 'fulfilled' ? each.value : reasonOf(each.reason),
    );
    expect(results).to.deep.equal(['A1', 'A2', 'OVERLOADED', 'OVERLOADED', 'B1']);
  });
});
