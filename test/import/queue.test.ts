import { expect } from 'chai';
import type { Outcome } from '../../src/import/group';
import { unobserved } from '../../src/import/observer';
import { ImportQueue } from '../../src/import/queue';
import type { ImportRequest } from '../../src/import/request';
import { pause } from '../support/helpers';

/** How long the imports of all applications take, but those of `other`, in milliseconds. */
const work = 40;

const imported = { type: 'imported', session: { clonedRows: [] } } as unknown as Outcome;
const postponed: Outcome = { type: 'postponed', rows: 10_000 };

/** A queue in which the sessions of the application `large` are large. It notes what it imports, and when. */
function start() {
  const begun: { readonly application: string; readonly at: number }[] = [];
  const ended: number[] = [];
  let told: (() => void) | undefined;
  const queue = new ImportQueue(
    async (_kind, requests, limits) => {
      const application = requests[0]?.applicationId ?? '';
      if (application === 'large' && limits.group !== Number.POSITIVE_INFINITY) {
        return requests.map(() => postponed);
      }
      begun.push({ application, at: performance.now() });
      told?.();
      if (application !== 'other') await pause(work);
      ended.push(performance.now());
      return requests.map(() => imported);
    },
    { workers: 2, groupSize: 1, groupRows: 3_000, limit: 100 },
    unobserved,
  );
  return {
    begun,
    ended,
    import: (applicationId: string, kind = 'user', linkedWorkflowId: string | null = null) =>
      queue.submit({ applicationId, kind, linkedWorkflowId } as unknown as ImportRequest, {
        signal: new AbortController().signal,
      }),
    /** Waits for the next import to begin. */
    next: () => new Promise<void>((resolve) => (told = resolve)),
  };
}

/** Some turns of the event loop: what needs no time has happened then. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
}

describe('the lane for large sessions', () => {
  for (const kind of ['user', 'business']) {
    it(`rests after each for as long as that took, while others import a ${kind} session`, async () => {
      const { import: submit, begun, ended, next } = start();
      const first = submit('large');
      const second = submit('large');
      await submit('other', kind);
      await first;
      await settled();
      const large = () => begun.filter(({ application }) => application === 'large');
      expect(large()).to.have.length(1);
      await next();
      const [one, two] = large();
      const end = ended.at(-1) ?? Number.NaN;
      expect((two?.at ?? 0) - end).to.be.at.least((end - (one?.at ?? 0)) * 0.9);
      await second;
    });
  }

  it('does not rest if nobody else imports', async () => {
    const { import: submit, begun } = start();
    const first = submit('large');
    const second = submit('large');
    await first;
    await settled();
    expect(begun).to.have.length(2);
    await second;
  });

  it('does not rest after an import with linked sessions, which may be small', async () => {
    const { import: submit, begun } = start();
    const first = submit('linking', 'user', 'a workflow');
    const second = submit('linking', 'user', 'a workflow');
    await submit('other');
    await first;
    await settled();
    expect(begun.map(({ application }) => application)).to.deep.equal([
      ...['linking', 'other', 'linking'],
    ]);
    await second;
  });
});
