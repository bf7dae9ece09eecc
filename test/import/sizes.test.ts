import { expect } from 'chai';
import type { PlannedImport } from '../../src/import/planned-import';
import { SessionSizes } from '../../src/import/sizes';

/** A call between the same two applications as all others here. */
function callFor(sourceSessionId: string, validateOnly = false): PlannedImport {
  const request = { applicationId: 'b', sourceApplicationId: 'a', sourceSessionId, validateOnly };
  return { request } as unknown as PlannedImport;
}

describe('the sizes of sessions', () => {
  /** Measures no session by chance. */
  let sizes: SessionSizes;
  beforeEach(() => {
    sizes = new SessionSizes(() => 0.99);
  });

  it('are measured for the first call of two applications, and not for each', () => {
    expect(sizes.choose([callFor('one'), callFor('two')], 1_000)).to.deep.equal(['one']);
  });

  it('are not measured for calls that copy nothing', () => {
    const calls = [callFor('one', true), callFor('two', true)];
    expect(sizes.choose(calls, 1_000)).to.deep.equal([]);
  });

  it('are learnt from calls that are refused, so that their repetition is not measured', () => {
    const refused = callFor('one');
    const large = { all: 80_000_000, largestRow: 2_000_000 };
    sizes.learn([refused], new Map(sizes.choose([refused], 1_000).map((id) => [id, large])));
    expect(sizes.choose([refused], 1_000)).to.deep.equal([]);
  });
});
