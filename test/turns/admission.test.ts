import { expect } from 'chai';
import { Admission } from '../../src/turns/admission';

describe('the admission of calls', () => {
  it('lets others do something between many that arrive together, and all of them begin', async () => {
    const admission = new Admission<string>();
    let begun = 0;
    const many = Array.from({ length: 100 }, () =>
      admission.enter('many').then(() => {
        begun++;
      }),
    );
    const seen: number[] = [];
    while (begun < 100) {
      seen.push(begun);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await Promise.all(many);
    expect(seen.length).to.be.greaterThan(10);
  });

  it('gives a connection its turn, though another one came first with many calls', async () => {
    const admission = new Admission<string>();
    const order: string[] = [];
    const enter = (owner: string): Promise<unknown> =>
      admission.enter(owner).then(() => order.push(owner));
    const many = Array.from({ length: 50 }, () => enter('many'));
    await Promise.all([...many, enter('one')]);
    expect(order.indexOf('one')).to.equal(1);
  });
});
