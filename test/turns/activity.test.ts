import { expect } from 'chai';
import * as fc from 'fast-check';
import { Activity } from '../../src/turns/activity';

describe('activity', () => {
  it('tells whether others were there within the last second', () => {
    const event = fc.record({
      owner: fc.constantFrom('a', 'b', 'c'),
      pause: fc.integer({ min: 0, max: 1_500 }),
    });
    fc.assert(
      fc.property(fc.array(event), (events) => {
        let now = 0;
        const activity = new Activity<string>(() => now);
        const seen: { owner: string; at: number }[] = [];
        for (const { owner, pause } of events) {
          now += pause;
          activity.note(owner);
          seen.push({ owner, at: now });
        }
        for (const owner of ['a', 'b', 'c']) {
          const others = seen.some((each) => each.owner !== owner && now - each.at < 1_000);
          expect(activity.hasOthers(owner)).to.equal(others);
        }
      }),
    );
  });
});
