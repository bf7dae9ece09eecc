import { open, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import type { Erasure } from '../store/erasures';
import { textOfLine } from './record-lines';

/**
 * A file of erasures, in JSON Lines: ids, kinds and times only. It is kept apart from the database, so that erasures
 * can be repeated after an older backup was restored.
 */
export class ErasureRecord {
  private constructor(private readonly file: FileHandle) {}

  /** Opens the file, or makes one that only its owner may read. @throws Error if that fails. */
  static async open(name: string): Promise<ErasureRecord> {
    const file = await open(name, 'a+', 0o600);
    const { size } = await file.stat();
    // A new file is on the disk only when its folder is, too (fsync(2)).
    if (size === 0) await synchronize(path.dirname(name));
    const last = Buffer.alloc(1);
    if (size > 0) await file.read(last, 0, 1, size - 1);
    // A process that was killed may have left a part of a line. This ends that line, so that the next one is whole.
    if (size > 0 && last.toString() !== '\n') await file.appendFile('\n');
    return new ErasureRecord(file);
  }

  /** Adds erasures. When the promise resolves, they are on the disk. One can be added more than once. */
  async add(erasures: readonly Erasure[]): Promise<void> {
    const lines = erasures.map((erasure) => `${textOfLine(erasure)}\n`);
    await this.file.appendFile(lines.join(''));
    await this.file.sync();
  }

  async close(): Promise<void> {
    await this.file.close();
  }
}

async function synchronize(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
