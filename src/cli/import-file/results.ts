import { randomUUID } from 'node:crypto';
import type { Stats } from 'node:fs';
import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { fileToReplace, statsOf } from '../../files/replace';
import { openFile, textLines } from './lines';

/** The result of a line. It contains no secret: neither the share token nor the session's URL. */
export interface Result {
  readonly line: number;
  /** Null: the line is malformed. */
  readonly request_id: string | null;
  readonly outcome: 'imported' | 'refused' | 'failed' | 'malformed';
  /** The copy that was made; if the session was imported before, the copy that exists. */
  readonly session_id?: string;
  readonly session_number?: number;
  readonly shared_from_session?: string;
  /** The reason of the service, or the code of gRPC. */
  readonly reason?: string;
  readonly message?: string;
}

/** How each line of the file begins. */
const beginning = '{"line":';

/** How much of an earlier run is written at once, in characters. */
const portion = 64 * 1024;

/** The file of results: JSON Lines, one for each line of the imported file, in the order in which they ended. */
export class Results {
  /** Resolves when the last result is written. After an error, nothing more is written: its line may be torn. */
  private written: Promise<void> = Promise.resolve();

  private constructor(
    private readonly path: string,
    private readonly handle: FileHandle,
    private readonly own: Pick<Stats, 'dev' | 'ino'>,
    /** The ids of the requests that an earlier run has imported. */
    readonly done: ReadonlySet<string>,
  ) {}

  /**
   * Opens the file. Of an earlier run, only what was imported is kept: everything else is tried again.
   *
   * @throws Error if the file can't be read or written, or is not a results file.
   */
  static async open(name: string): Promise<Results> {
    const { path, mode } = await fileToReplace(name);
    // Replaces the old file only when the new one is complete, so that a crash loses nothing. The draft's
    // name is unique.
    const draft = `${path}.${randomUUID()}`;
    const handle = await open(draft, 'wx', mode ?? 0o666);
    try {
      const done = mode === undefined ? new Set<string>() : await keepImported(path, handle);
      await rename(draft, path);
      return new Results(path, handle, await handle.stat(), done);
    } catch (error) {
      await handle.close();
      await rm(draft, { force: true });
      throw error;
    }
  }

  /**
   * Writes a result.
   *
   * @throws Error if it can't be written, or if nobody would find it: the file was deleted, or another run has
   * replaced it by its own.
   */
  async write(result: Result): Promise<void> {
    this.written = this.written.then(() => this.append(result));
    await this.written;
  }

  close(): Promise<void> {
    return this.handle.close();
  }

  private async append(result: Result): Promise<void> {
    const now = await statsOf(this.path);
    if (now?.ino !== this.own.ino || now.dev !== this.own.dev) {
      throw new Error(`${this.path} was deleted, or another run has begun to write it`);
    }
    await this.handle.appendFile(`${JSON.stringify(result)}\n`);
  }
}

/**
 * Copies what an earlier run has imported.
 *
 * @returns the ids of its requests.
 */
async function keepImported(path: string, draft: FileHandle): Promise<Set<string>> {
  const done = new Set<string>();
  let kept = '';
  let broken: string | undefined;
  for await (const text of textLines(openFile(path))) {
    // If a run was killed, its last line may be incomplete. Any other malformed file must not be overwritten.
    if (broken !== undefined) throw new Error(`${path} holds something else than results`);
    const result = parseResult(text);
    if (!result) broken = text;
    if (result?.outcome !== 'imported' || result.request_id === null) continue;
    done.add(result.request_id);
    kept += `${text}\n`;
    if (kept.length < portion) continue;
    await draft.appendFile(kept);
    kept = '';
  }
  if (broken !== undefined && !broken.startsWith(beginning)) {
    throw new Error(`${path} holds something else than results`);
  }
  await draft.appendFile(kept);
  return done;
}

function parseResult(text: string): Result | undefined {
  try {
    const result = JSON.parse(text) as Partial<Result>;
    return typeof result.line === 'number' && result.outcome ? (result as Result) : undefined;
  } catch {
    return undefined;
  }
}
