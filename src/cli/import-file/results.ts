import { once } from 'node:events';
import { existsSync, type WriteStream } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import { openFile, textLines } from './lines';

/** What came of a line. Nothing of it is secret: neither the share token nor the session's URL is in it. */
export interface Result {
  readonly line: number;
  /** Null: the line is malformed. */
  readonly request_id: string | null;
  readonly outcome: 'imported' | 'refused' | 'failed' | 'malformed';
  readonly session_id?: string;
  readonly session_number?: number;
  readonly shared_from_session?: string;
  /** The reason of the service, or the code of gRPC. */
  readonly reason?: string;
  readonly message?: string;
}

/** How each line of the file begins. */
const beginning = '{"line":';

/** The file of results: JSON Lines, one for each line of the imported file, in the order in which they ended. */
export class Results {
  private constructor(
    private readonly stream: WriteStream,
    /** The ids of the requests that an earlier run has carried out. */
    readonly done: ReadonlySet<string>,
  ) {}

  /**
   * Opens the file. Of an earlier run, only what was imported is kept: everything else is tried again.
   *
   * @throws Error if the file can't be read or written.
   */
  static async open(path: string): Promise<Results> {
    const done = new Set<string>();
    if (!existsSync(path)) return new Results(await create(path), done);
    // Replaces the old file only when the new one is complete, so that a crash loses nothing.
    const draft = `${path}.new`;
    const stream = await create(draft);
    let broken: string | undefined;
    for await (const text of textLines(openFile(path))) {
      // The last line of a run that was killed may be half a line. Any other file is not for this program to change.
      if (broken !== undefined) throw new Error(`${path} holds something else than results`);
      const result = parseResult(text);
      if (!result) broken = text;
      if (result?.outcome !== 'imported' || result.request_id === null) continue;
      done.add(result.request_id);
      await append(stream, text);
    }
    if (broken !== undefined && !broken.startsWith(beginning)) {
      throw new Error(`${path} holds something else than results`);
    }
    await rename(draft, path);
    return new Results(stream, done);
  }

  async write(result: Result): Promise<void> {
    await append(this.stream, JSON.stringify(result));
  }

  async close(): Promise<void> {
    this.stream.end();
    await once(this.stream, 'close');
  }
}

async function create(path: string): Promise<WriteStream> {
  return (await open(path, 'w')).createWriteStream();
}

async function append(stream: WriteStream, text: string): Promise<void> {
  if (!stream.write(`${text}\n`)) await once(stream, 'drain');
}

function parseResult(text: string): Result | undefined {
  try {
    const result = JSON.parse(text) as Partial<Result>;
    return typeof result.line === 'number' && result.outcome ? (result as Result) : undefined;
  } catch {
    return undefined;
  }
}
