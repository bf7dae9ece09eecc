import { expect } from 'chai';
import { ofKnownPerTurn, ofStrangersPerTurn } from '../../src/rpc/server/arrivals';
import { Admission } from '../../src/turns/admission';

/** Resolves when an item begins. */
function enter(admission: Admission<string, string>, owner: string, group = owner): Promise<void> {
  return new Promise((begin) => {
    admission.enter({ group, owner }, begin);
  });
}

/** More than begin in one turn of the event loop. */
const oneTurn = 10;

describe('the admission of calls', () => {
  it('lets a call begin at once when few others do', async () => {
    const admission = new Admission<string, string>(ofKnownPerTurn);
    let turns = 0;
    setImmediate(() => turns++);
    await enter(admission, 'one');
    expect(turns).to.equal(0);
  });

  it('lets others do something between many that arrive together, and all of them begin', async () => {
    const admission = new Admission<string, string>(ofKnownPerTurn);
    let begun = 0;
    const many = Array.from({ length: 1_000 }, () =>
      enter(admission, 'many').then(() => {
        begun++;
      }),
    );
    const steps: number[] = [];
    for (let before = 0; before < 1_000; before = begun) {
      await new Promise((resolve) => setImmediate(resolve));
      steps.push(begun - before);
    }
    await Promise.all(many);
    const [first, ...later] = steps;
    expect(first, 'some begin at once').to.equal(7);
    // One in each turn while it is a flood, and then six.
    expect(new Set(later.slice(0, 700))).to.deep.equal(new Set([1]));
    expect(new Set(later.slice(750, -1))).to.deep.equal(new Set([6]));
  });

  it('lets nobody wait longer in a flood of many connections', async () => {
    const admission = new Admission<string, string>(ofKnownPerTurn);
    for (let call = 0; call < 100; call++) {
      for (let other = 0; other < 20; other++) void enter(admission, `other ${other}`);
    }
    let turns = 0;
    const counting = { on: true };
    const count = (): void => {
      turns++;
      if (counting.on) setImmediate(count);
    };
    setImmediate(count);
    await enter(admission, 'one');
    counting.on = false;
    // Six of twenty-one in each turn.
    expect(turns).to.be.at.most(5);
  });

  it('gives a connection its turn, though another one came first with many calls', async () => {
    const admission = new Admission<string, string>(ofKnownPerTurn);
    const order: string[] = [];
    const begin = (owner: string): Promise<unknown> =>
      enter(admission, owner).then(() => order.push(owner));
    const many = Array.from({ length: 50 }, () => begin('many'));
    await Promise.all([...many, begin('one')]);
    expect(order.indexOf('one')).to.be.below(oneTurn);
  });

  it('gives a group no more turns for having many owners', async () => {
    const admission = new Admission<string, string>(ofKnownPerTurn);
    const order: string[] = [];
    const begin = (owner: string, group: string): Promise<unknown> =>
      enter(admission, owner, group).then(() => order.push(owner));
    const crowd = Array.from({ length: 300 }, (_, index) =>
      begin(`of crowd ${index % 100}`, 'crowd'),
    );
    const few = Array.from({ length: 20 }, () => begin('alone', 'few'));
    await Promise.all([...crowd, ...few]);
    // Those that begin at once do not count.
    expect(order.lastIndexOf('alone')).to.be.below(2 * (oneTurn + few.length));
    // The owners of a group take turns as well.
    expect(new Set(order.slice(0, 130)).size).to.equal(101);
  });

  it('lets an item leave, and takes no turn for it', async () => {
    const admission = new Admission<string, string>(ofKnownPerTurn);
    let turns = 0;
    setImmediate(() => turns++);
    for (let calls = 0; calls < oneTurn; calls++) void enter(admission, 'many');
    const many = { group: 'many', owner: 'many' };
    const begun: number[] = [];
    const leaving = Array.from({ length: 100 }, (_, index) => () => void begun.push(index));
    for (const item of leaving) admission.enter(many, item);
    const other = enter(admission, 'many');
    for (const item of leaving) admission.leave(many, item);
    await other;
    expect(turns).to.equal(1);
    expect(begun).to.deep.equal([]);
    expect(admission.waiting).to.equal(0);
  });

  it('lets more calls of strangers begin the more addresses wait, so that none waits for hundreds of turns', () => {
    const turns = [1, 8, 9, 50, 450].map((groups) => {
      const perTurn = ofStrangersPerTurn({ length: 10 * groups, groups, owners: 2 * groups });
      return [perTurn, Math.ceil(groups / perTurn)];
    });
    expect(turns).to.deep.equal([
      [1, 1],
      [1, 8],
      [2, 5],
      [6, 9],
      [6, 75],
    ]);
  });

  it('tells how many items of each owner wait', async () => {
    const admission = new Admission<string, string>(ofKnownPerTurn);
    expect([...admission.lengths()]).to.deep.equal([]);
    const waiting = [
      // Those that begin at once do not count.
      ...Array.from({ length: 6 }, () => enter(admission, 'first')),
      ...Array.from({ length: 30 }, () => enter(admission, 'alone', 'few')),
      ...[1, 2, 1].map((index) => enter(admission, `of crowd ${index}`, 'crowd')),
    ];
    expect([...admission.lengths()]).to.have.deep.members([
      ['alone', 30],
      ['of crowd 1', 2],
      ['of crowd 2', 1],
    ]);
    await Promise.all(waiting);
    expect([...admission.lengths()]).to.deep.equal([]);
  });
});
