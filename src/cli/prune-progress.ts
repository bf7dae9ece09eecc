import { clearLine, cursorTo } from 'node:readline';
import type { PruneTally } from '../prune/run';

/** How often progress is shown, in milliseconds: on a terminal, and elsewhere. */
const intervals = { terminal: 200, elsewhere: 10_000 };

/** Shows how far a run is, on standard error: in one line on a terminal, in lines of JSON elsewhere. */
export function showPruned(): {
  readonly update: (tally: Readonly<PruneTally>) => void;
  readonly stop: () => void;
} {
  const { stderr } = process;
  const interval = stderr.isTTY ? intervals.terminal : intervals.elsewhere;
  let toldAt = performance.now();
  let shown = false;
  const clear = (): void => {
    if (!shown) return;
    clearLine(stderr, 0);
    cursorTo(stderr, 0);
    shown = false;
  };
  return {
    update: (tally) => {
      if (performance.now() - toldAt < interval) return;
      toldAt = performance.now();
      if (!stderr.isTTY) {
        stderr.write(`${JSON.stringify(tally)}\n`);
        return;
      }
      clear();
      const records = tally.refusedImports + tally.shareTokens + tally.answers + tally.events;
      stderr.write(`${tally.sessions} sessions, ${tally.rows} rows, ${records} old records`);
      shown = true;
    },
    stop: clear,
  };
}
