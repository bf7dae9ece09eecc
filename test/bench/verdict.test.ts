import { expect } from 'chai';
import { eachKind, type Became } from '../../bench/stress/calls';
import { latencyOf, limits, shortcomings, type Seen } from '../../bench/stress/verdict';

const became: Became = { latencies: [10, 20, 30], failures: [], evidence: [] };
const quiet = eachKind(() => latencyOf(became));
const good: Seen = {
  victim: eachKind(() => became),
  vanished: eachKind(() => 0),
  peakMemory: limits.memory - 1,
  unready: [],
  faults: [],
};

/** The verdict if the imports went differently. */
function foundOf(imports: Partial<Became>, quietly = quiet): string[] {
  const victim = { ...eachKind(() => became), imports: { ...became, ...imports } };
  return shortcomings({ ...good, victim }, quietly);
}

describe('the verdict of make stress', () => {
  it('finds nothing where all holds', () => {
    expect(shortcomings(good, quiet)).to.deep.equal([]);
  });

  it('allows three times the quiet latency, or a fixed one if that is more', () => {
    expect(foundOf({ latencies: [limits.latency] })).to.deep.equal([]);
    expect(foundOf({ latencies: [limits.latency + 1] })).to.deep.equal([
      'imports: p99 of 251 ms, 250 ms allowed',
    ]);
    const slow = eachKind(() => latencyOf({ ...became, latencies: [100] }));
    expect(foundOf({ latencies: [300] }, slow)).to.deep.equal([]);
    expect(foundOf({ latencies: [301] }, slow)).to.have.length(1);
  });

  it('does not hold where no call was made', () => {
    expect(foundOf({ latencies: [] })).to.have.length(1);
  });

  it('counts failures by their reasons', () => {
    expect(foundOf({ failures: ['OVERLOADED', 'OVERLOADED', 'INTERNAL'] })).to.deep.equal([
      'imports: 2 of 3 failed with OVERLOADED',
      'imports: 1 of 3 failed with INTERNAL',
    ]);
  });

  it('names answers that are not on record, too much memory, a lost readiness, and a scenario that did not end', () => {
    const seen: Seen = {
      victim: undefined,
      vanished: eachKind(() => 0),
      peakMemory: limits.memory,
      unready: ['503', 'no answer', '503'],
      faults: ['no end after 65 s'],
    };
    expect(shortcomings(seen, quiet)).to.deep.equal([
      'no end after 65 s',
      'memory of 512 MiB',
      '/readyz: 2 × 503',
      '/readyz: 1 × no answer',
    ]);
    const vanished = { ...good.vanished, refusals: 2 };
    expect(shortcomings({ ...good, vanished }, quiet)).to.deep.equal([
      'refusals: 2 answered, and not on record',
    ]);
  });
});
