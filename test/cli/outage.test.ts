import { expect } from 'chai';
import { Outage } from '../../src/cli/import-file/outage';

describe('an outage of the service that imports', () => {
  const [one, other] = [{}, {}];

  function outage(pause?: number): { readonly told: readonly string[]; readonly outage: Outage } {
    const told: string[] = [];
    return {
      told,
      outage: new Outage((reason) => {
        told.push(reason);
      }, pause),
    };
  }

  it('is told once for each reason, however many lines wait', () => {
    const { told, outage: away } = outage(0);
    away.waits(one, 'OVERLOADED', '');
    away.waits(other, 'OVERLOADED', '');
    away.ended(one);
    away.waits(other, 'UNAVAILABLE', '');
    away.waits(other, 'OVERLOADED', '');
    expect(told).to.deep.equal(['OVERLOADED', 'UNAVAILABLE']);
  });

  it('is another one when no line has waited for a while', () => {
    for (const [pause, times] of [
      [0, 2],
      [60_000, 1],
    ] as const) {
      const { told, outage: away } = outage(pause);
      for (const line of [one, other]) {
        away.waits(line, 'UNAVAILABLE', '');
        away.ended(line);
      }
      expect(told).to.have.length(times);
    }
  });
});
