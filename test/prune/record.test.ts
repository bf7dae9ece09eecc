import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { newId } from '../../src/model/ids';
import type { Erasure } from '../../src/store/erasures';
import { ErasureRecord } from '../../src/prune/record';

describe('a record of erasures', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'session-import-record-'));
  });
  after(() => rm(folder, { recursive: true }));

  const erasure: Erasure = {
    sessionId: newId(),
    applicationId: newId(),
    kind: 'user',
    erasedAt: new Date(),
  };

  /** What is synchronized with the disk during some work. */
  async function synchronizedBy(work: () => Promise<void>): Promise<string[]> {
    const handle = await open(folder);
    const handles = Object.getPrototypeOf(handle) as typeof handle;
    await handle.close();
    const sync: (this: typeof handle) => Promise<void> = Reflect.get(handles, 'sync');
    const seen: string[] = [];
    handles.sync = async function (this: typeof handle) {
      seen.push((await this.stat()).isDirectory() ? 'folder' : 'file');
      await sync.call(this);
    };
    try {
      await work();
    } finally {
      handles.sync = sync;
    }
    return seen;
  }

  it('is on the disk with its name before an erasure is added to it', async () => {
    const file = path.join(folder, 'erasures.jsonl');
    const record = async (): Promise<void> => {
      const opened = await ErasureRecord.open(file);
      await opened.add([erasure]);
      await opened.close();
    };
    expect(await synchronizedBy(record)).to.deep.equal(['folder', 'file']);
    expect(await synchronizedBy(record)).to.deep.equal(['file']);
    expect((await readFile(file, 'utf8')).split('\n')).to.have.length(3);
  });

  it('ends a line that a killed process has left behind', async () => {
    const file = path.join(folder, 'broken.jsonl');
    await writeFile(file, '{"session_id":"');
    const opened = await ErasureRecord.open(file);
    await opened.add([erasure]);
    await opened.close();
    const [broken, line = ''] = (await readFile(file, 'utf8')).split('\n');
    expect(broken).to.equal('{"session_id":"');
    expect(JSON.parse(line)).to.include({ session_id: erasure.sessionId });
  });
});
