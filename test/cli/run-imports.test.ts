import { Readable } from 'node:stream';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect } from 'chai';
import type { Line, WantedImport } from '../../src/cli/import-file/lines';
import type { Result } from '../../src/cli/import-file/results';
import { runImports } from '../../src/cli/import-file/run';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** The memory in use, in MB. */
function used(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed / 1e6;
}

describe('a run of imports', () => {
  it('takes no memory for the lines that pass one that waits', async () => {
    let end: ((result: Result) => void) | undefined;
    let grown = 0;
    function* lines(): Iterable<Line> {
      yield { number: 1, content: { requestId: 'waits' } as unknown as WantedImport };
      const before = used();
      for (let number = 2; number < 100_000; number++) {
        yield { number, content: { problem: 'none' } };
      }
      grown = used() - before;
      end?.({ line: 1, request_id: null, outcome: 'imported' });
    }
    const { tally } = await runImports({
      lines: Readable.from(lines()) as AsyncIterable<Line>,
      done: new Set(),
      concurrency: 2,
      importLine: () =>
        new Promise((resolve) => {
          end = resolve;
        }),
      write: () => Promise.resolve(),
      told: () => undefined,
      signal: new AbortController().signal,
    });
    expect(tally).to.include({ imported: 1, malformed: 99_998 });
    expect(grown).to.be.below(10);
  });
});
