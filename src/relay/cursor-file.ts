import { open, rename } from 'node:fs/promises';
import { z } from 'zod';
import { fileToReplace } from '../files/replace';
import { readSmallFile } from '../files/small-file';
import { isUuid } from '../model/ids';
import { jsonOf } from '../model/json';
import { errorCode } from '../model/problems';

const schema = z.strictObject({
  /** The sequence of the last event that was delivered; 0: none was. */
  after: z.int().min(0).lt(Number.MAX_SAFE_INTEGER),
  /** Its id, which tells whether the feed is still the same. Absent: `after` was given by a person. */
  event_id: z.string().refine(isUuid).optional(),
});

/** How far a feed has been delivered. */
export type Cursor = z.infer<typeof schema>;

/** The file that keeps the cursor. Only one relay at a time may use it. */
export class CursorFile {
  private constructor(
    private readonly path: string,
    private cursor: Cursor,
    /** What is in the file; undefined: there is none. */
    private text: string | undefined,
  ) {}

  /**
   * Opens the file, and writes it, so that a file that can't be written is noticed before anything is delivered.
   * Without a file, the cursor is 0.
   *
   * @param name may be a symbolic link to a file. Then the link stays, and the file is replaced.
   * @param after the cursor to begin with, in place of the one in the file.
   * @throws Error if it can't be read or written, or is not a cursor file.
   */
  static async open(name: string, after?: number): Promise<CursorFile> {
    const { path } = await fileToReplace(name).catch((error: unknown) => {
      throw failure('read', name, error);
    });
    const text = await contentOf(path);
    const kept = text === undefined ? { after: 0 } : parse(path, text);
    const cursor = after === undefined ? kept : { after };
    const file = new CursorFile(path, cursor, text);
    await file.store(cursor);
    return file;
  }

  get current(): Cursor {
    return this.cursor;
  }

  /**
   * Stores a cursor. After a crash, the file has either this cursor or the one before.
   *
   * @throws Error if it can't be written, or if it is not what this process has written last.
   */
  async store(cursor: Cursor): Promise<void> {
    if ((await contentOf(this.path)) !== this.text) {
      throw new Error(
        `${this.path} was changed or deleted by others: give each relay a cursor file of its own`,
      );
    }
    const text = `${JSON.stringify(cursor)}\n`;
    try {
      await this.replace(text);
    } catch (error) {
      throw failure('written', this.path, error);
    }
    this.text = text;
    this.cursor = cursor;
  }

  private async replace(text: string): Promise<void> {
    // One name, so that crashes leave one draft at most.
    const draft = `${this.path}.tmp`;
    const handle = await open(draft, 'w');
    try {
      await handle.writeFile(text);
      // The folder is not synchronized: if the renaming is lost, an event is delivered once more.
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(draft, this.path);
  }
}

/** Not every error of the file system names the file. */
function failure(what: 'read' | 'written', path: string, error: unknown): Error {
  return new Error(`the cursor file ${path} can not be ${what}: ${(error as Error).message}`, {
    cause: error,
  });
}

/** Undefined: there is no such file. */
async function contentOf(path: string): Promise<string | undefined> {
  try {
    return await readSmallFile(path);
  } catch (error) {
    if (errorCode(error as Error) === 'ENOENT') return undefined;
    throw failure('read', path, error);
  }
}

function parse(path: string, text: string): Cursor {
  const parsed = schema.safeParse(jsonOf(text));
  if (parsed.success) return parsed.data;
  throw new Error(
    `${path} is no cursor file. Name another one, or move it away and say with --after where to go on`,
  );
}
