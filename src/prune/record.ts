import { createReadStream } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import { isUuid, toId, type ApplicationId, type Id, type SessionId } from '../model/ids';
import type { Erasure } from '../store/erasures';

/**
 * A file of erasures, in JSON Lines: ids, kinds and times only. It is kept apart from the database, so that erasures
 * can be repeated after an older backup was restored.
 */
export class ErasureRecord {
  private constructor(private readonly file: FileHandle) {}

  /** Opens the file, or makes one that only its owner may read. @throws Error if that fails. */
  static async open(path: string): Promise<ErasureRecord> {
    const file = await open(path, 'a+', 0o600);
    const { size } = await file.stat();
    const last = Buffer.alloc(1);
    if (size > 0) await file.read(last, 0, 1, size - 1);
    // A process that was killed may have left a part of a line. This ends that line, so that the next one is whole.
    if (size > 0 && last.toString() !== '\n') await file.appendFile('\n');
    return new ErasureRecord(file);
  }

  /** Adds erasures. When the promise resolves, they are on the disk. One can be added more than once. */
  async add(erasures: readonly Erasure[]): Promise<void> {
    const lines = erasures.map((erasure) => `${JSON.stringify(lineOf(erasure))}\n`);
    await this.file.appendFile(lines.join(''));
    await this.file.sync();
  }

  async close(): Promise<void> {
    await this.file.close();
  }
}

function lineOf({ sessionId, applicationId, kind, erasedAt }: Erasure): object {
  return {
    session_id: sessionId,
    application_id: applicationId,
    session_kind: kind,
    erased_at: erasedAt.toISOString(),
  };
}

const id = <T extends Id<string>>() =>
  z
    .string()
    .refine(isUuid)
    .transform((text) => toId<T>(text));

const line = z
  .object({
    session_id: id<SessionId>(),
    application_id: id<ApplicationId>(),
    session_kind: z.enum(['user', 'business']),
    erased_at: z.iso.datetime().transform((text) => new Date(text)),
  })
  .transform((fields): Erasure => ({
    sessionId: fields.session_id,
    applicationId: fields.application_id,
    kind: fields.session_kind,
    erasedAt: fields.erased_at,
  }));

/**
 * Reads a file of erasures, line by line.
 *
 * @returns the erasure of each line; undefined: the line is malformed, for example because it was cut off.
 * @throws Error if the file can't be read.
 */
export async function* readErasures(path: string): AsyncGenerator<Erasure | undefined> {
  for await (const text of createInterface({ input: createReadStream(path) })) {
    if (text !== '') yield erasureOfLine(text);
  }
}

function erasureOfLine(text: string): Erasure | undefined {
  try {
    return line.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
