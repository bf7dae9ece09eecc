import Table from 'cli-table3';

/** The output of a command: names and values, in order. */
export type Fields = Readonly<Record<string, string | number | boolean | null | readonly string[]>>;

/** A command has done what it could, and reports the result by its exit code. The message is for people. */
export class CommandFailure extends Error {
  override readonly name = 'CommandFailure';

  constructor(
    message: string,
    readonly exitCode: number,
  ) {
    super(message);
  }
}

/**
 * Prints what a command has done: a table for people, one line of JSON for scripts.
 *
 * @throws Error if it can't be written, as {@link printPart}.
 */
export async function printFields(
  fields: Fields,
  { json }: { readonly json?: true | undefined },
): Promise<void> {
  await printPart(`${json ? JSON.stringify(fields) : table(fields)}\n`);
}

/**
 * Writes an output or a part of it, and waits until it is written: otherwise, output that nobody reads yet would fill
 * the memory.
 *
 * @throws Error if it can't be written, for example because the reader of a pipe has ended.
 */
export async function printPart(text: string): Promise<void> {
  const { stdout } = process;
  await new Promise<void>((resolve, reject) => {
    const failed = ({ message }: Error): void => {
      // A new error without the old one's code, which would be reported as an unreachable database.
      reject(new Error(`the output can't be written: ${message}`));
    };
    // The stream also emits the error, which would end the process if nobody listened.
    stdout.once('error', failed);
    stdout.write(text, (error) => {
      if (error) return;
      stdout.off('error', failed);
      resolve();
    });
  });
}

/** No lines around the cells, so that a token or a key can be copied. */
const noLines = Object.fromEntries(
  ['top', 'bottom', 'left', 'right', 'mid', 'middle'].flatMap((side) =>
    ['', '-mid', '-left', '-right'].map((corner) => [side + corner, '']),
  ),
);

function table(fields: Fields): string {
  const rows = new Table({ chars: noLines, style: { head: [], 'padding-left': 0 } });
  for (const [name, value] of Object.entries(fields)) {
    const text = Array.isArray(value) ? value.join('\n') : String(value ?? '');
    rows.push([name.replaceAll('_', ' '), text === '' ? '-' : text]);
  }
  // Each cell is filled up to the longest: a token would make every line as long as itself.
  return rows.toString().replaceAll(/ +$/gm, '');
}
