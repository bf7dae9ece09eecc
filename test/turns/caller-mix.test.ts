import { expect } from 'chai';
import * as fc from 'fast-check';
import { newId, type ApplicationId } from '../../src/model/ids';
import { CallerMix } from '../../src/turns/caller-mix';

describe('the mix of callers', () => {
  it('tells whether others have called within the last second, and whether callers have changed', () => {
    const applications = [
      newId<ApplicationId>(),
      newId<ApplicationId>(),
      newId<ApplicationId>(),
    ] as const;
    const event = fc.record({
      owner: fc.constantFrom(...applications),
      pause: fc.integer({ min: 0, max: 1_500 }),
    });
    fc.assert(
      fc.property(fc.array(event), fc.integer({ min: 0, max: 1_500 }), (events, rest) => {
        let now = 0;
        const mix = new CallerMix(() => now);
        const seen: { owner: ApplicationId; at: number }[] = [];
        for (const { owner, pause } of events) {
          now += pause;
          mix.add(owner);
          seen.push({ owner, at: now });
        }
        now += rest;
        const lately = seen.filter(({ at }) => now - at < 1_000);
        for (const application of applications) {
          const others = lately.some(({ owner }) => owner !== application);
          expect(mix.hasOthers(application)).to.equal(others);
        }
        const changed = lately.some((each) => {
          const before = seen[seen.indexOf(each) - 1];
          return before !== undefined && before.owner !== each.owner;
        });
        expect(mix.isMixed).to.equal(changed);
      }),
    );
  });
});
