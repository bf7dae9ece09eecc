import { expect } from 'chai';
import * as fc from 'fast-check';
import { FairLine } from '../../src/turns/fair-line';

/** Owners of items, in the order in which the items came. */
const arrivals = fc.array(fc.constantFrom('a', 'b', 'c', 'd'), { maxLength: 60 });

function lineOf(owners: readonly string[]): FairLine<string, { owner: string; index: number }> {
  const line = new FairLine<string, { owner: string; index: number }>();
  for (const [index, owner] of owners.entries()) line.append(owner, { owner, index });
  return line;
}

describe('a fair line', () => {
  it('gives out every item once, and those of one owner in their order', () => {
    fc.assert(
      fc.property(arrivals, (owners) => {
        const line = lineOf(owners);
        const taken = [];
        for (let next = line.peek(); next; next = line.peek()) {
          expect(line.shift()).to.equal(next);
          taken.push(next);
        }
        expect(line).to.have.length(0);
        expect(taken.map(({ index }) => index).toSorted((a, b) => a - b)).to.deep.equal([
          ...owners.keys(),
        ]);
        for (const owner of 'abcd') {
          const own = taken.filter((item) => item.owner === owner).map(({ index }) => index);
          expect(own).to.deep.equal(own.toSorted((a, b) => a - b));
        }
      }),
    );
  });

  it('lets no owner have a second turn while another waits for the first', () => {
    fc.assert(
      fc.property(arrivals, (owners) => {
        const line = lineOf(owners);
        const distinct = new Set(owners).size;
        const first = Array.from({ length: distinct }, () => line.shift()?.owner);
        expect(new Set(first)).to.have.length(distinct);
      }),
    );
  });

  it('gives an owner who comes anew a turn after those who wait already, however many items they have', () => {
    const line = lineOf(['a', 'a', 'a', 'a', 'b', 'b', 'b']);
    line.shift();
    line.append('c', { owner: 'c', index: 7 });
    const turns = Array.from({ length: 4 }, () => line.shift()?.owner);
    expect(turns).to.deep.equal(['b', 'a', 'c', 'b']);
  });

  it('gives out the first item that fits, and the turn goes on from there', () => {
    const line = lineOf(['a', 'a', 'a', 'b', 'b', 'c']);
    expect(line.take(({ index }) => index === 1)?.index).to.equal(1);
    expect(line.take(({ owner }) => owner === 'c')?.index).to.equal(5);
    expect(line.take(({ owner }) => owner === 'c')).to.equal(undefined);
    const turns = Array.from({ length: 4 }, () => line.shift()?.index);
    expect(turns).to.deep.equal([3, 0, 4, 2]);
    expect(line).to.have.length(0);
  });

  it('loses what is removed, and nothing else', () => {
    const line = lineOf(['a', 'a', 'b']);
    const first = line.peek();
    if (!first) throw new Error('the line is empty');
    expect(line.remove('a', first)).to.equal(true);
    expect(line.remove('a', first)).to.equal(false);
    expect([line.shift()?.index, line.shift()?.index, line.shift()]).to.deep.equal([
      1,
      2,
      undefined,
    ]);
    expect(line).to.have.length(0);
  });

  it('takes back what had its turn in vain, and gives it the next turns', () => {
    const line = lineOf(['a', 'a', 'b', 'c']);
    const first = line.shift();
    const second = line.shift();
    if (!first || !second) throw new Error('the line is empty');
    line.prepend('b', second);
    line.prepend('a', first);
    const turns = Array.from({ length: 4 }, () => line.shift()?.index);
    expect(turns).to.deep.equal([0, 2, 3, 1]);
    expect(line).to.have.length(0);
  });

  it('gives up the newest item of an owner', () => {
    const line = lineOf(['a', 'b', 'b']);
    expect([...line.lengths()]).to.deep.equal([
      ['a', 1],
      ['b', 2],
    ]);
    expect([line.pop('b')?.index, line.pop('b')?.index, line.pop('b')]).to.deep.equal([
      2,
      1,
      undefined,
    ]);
    expect(line.pop('somebody unknown')).to.equal(undefined);
    expect([...line.lengths()]).to.deep.equal([['a', 1]]);
    expect(line).to.have.length(1);
  });
});
