import { expect } from 'chai';
import { CallAbandoned } from '../../src/model/problems';
import { Admission } from '../../src/turns/admission';

/** The signal of a call that nobody gives up. */
const waiting = (): AbortSignal => new AbortController().signal;

/** More than begin in one turn of the event loop. */
const oneTurn = 10;

describe('the admission of calls', () => {
  it('lets a call begin at once when few others do', async () => {
    const admission = new Admission<string>();
    let turns = 0;
    setImmediate(() => turns++);
    await admission.enter('one', waiting());
    expect(turns).to.equal(0);
  });

  it('lets others do something between many that arrive together, and all of them begin', async () => {
    const admission = new Admission<string>();
    let begun = 0;
    const many = Array.from({ length: 1_000 }, () =>
      admission.enter('many', waiting()).then(() => {
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
    const admission = new Admission<string>();
    for (let call = 0; call < 100; call++) {
      for (let other = 0; other < 20; other++) void admission.enter(`other ${other}`, waiting());
    }
    let turns = 0;
    const counting = { on: true };
    const count = (): void => {
      turns++;
      if (counting.on) setImmediate(count);
    };
    setImmediate(count);
    await admission.enter('one', waiting());
    counting.on = false;
    // Six of twenty-one in each turn.
    expect(turns).to.be.at.most(5);
  });

  it('gives a connection its turn, though another one came first with many calls', async () => {
    const admission = new Admission<string>();
    const order: string[] = [];
    const enter = (owner: string): Promise<unknown> =>
      admission.enter(owner, waiting()).then(() => order.push(owner));
    const many = Array.from({ length: 50 }, () => enter('many'));
    await Promise.all([...many, enter('one')]);
    expect(order.indexOf('one')).to.be.below(oneTurn);
  });

  it('ends the waiting of a call at once when it is given up, and takes no turn for it', async () => {
    const admission = new Admission<string>();
    let turns = 0;
    setImmediate(() => turns++);
    for (let calls = 0; calls < oneTurn; calls++) void admission.enter('many', waiting());
    const calls = Array.from({ length: 100 }, () => new AbortController());
    const many = calls.map(({ signal }) => admission.enter('many', signal));
    const other = admission.enter('many', waiting());
    for (const call of calls) call.abort();
    for (const ended of await Promise.allSettled(many)) {
      expect(ended).to.have.property('reason').that.is.instanceOf(CallAbandoned);
    }
    expect(turns).to.equal(0);
    await other;
    expect(turns).to.equal(1);
  });

  it('lets no call wait that was given up before', async () => {
    const late = new Admission<string>().enter('one', AbortSignal.abort());
    expect(await late.catch((error: unknown) => error)).to.be.instanceOf(CallAbandoned);
  });
});
