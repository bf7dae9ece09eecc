import { appendFile, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { newId, toBinary, type SessionId } from '../../src/model/ids';
import type { Retry } from '../../src/db/retry';
import { prune } from '../../src/prune/prune';
import { replay } from '../../src/prune/replay';
import { replayErasure } from '../../src/store/erasures';
import { createSession } from '../support/fixtures';
import { runOf, startPruneHarness, type PruneHarness } from '../support/pruning';

const minute = 60_000;

describe('a file of erasures', () => {
  let harness: PruneHarness;
  let folder: string;
  before(async function () {
    this.timeout(120_000);
    harness = await startPruneHarness();
    folder = await mkdtemp(path.join(tmpdir(), 'session-import-replay-'));
  });
  after(async () => {
    await harness.stop();
    await rm(folder, { recursive: true });
  });

  const replayLines = async (lines: readonly string[]) => {
    const file = path.join(folder, 'erasures.jsonl');
    await writeFile(file, lines.join('\n'));
    return replay(runOf(harness.jobDb), file);
  };

  /** The lines of the error that a replay of these lines ends with. */
  const complaint = async (lines: readonly string[]): Promise<string[]> => {
    const error: unknown = await replayLines(lines).catch((thrown: unknown) => thrown);
    return (error as Error).message.split('\n  ');
  };

  const fieldsOf = (sessionId: SessionId) => ({
    session_id: sessionId,
    application_id: harness.source.applicationId,
    session_kind: 'user',
    erased_at: new Date().toISOString(),
  });

  const lineFor = (sessionId: SessionId, changed: object = {}): string =>
    JSON.stringify({ ...fieldsOf(sessionId), ...changed });

  const isErased = async (id: SessionId): Promise<boolean> => {
    const [row] = (await harness.db('user_sessions').where({ id: toBinary(id) })) as {
      readonly erased_at: Date | null;
    }[];
    return row?.erased_at !== null;
  };

  const createUser = () => createSession(harness.db, harness.source, 'user');

  it('erases nothing if one of its lines can not be used, and names each of them', async () => {
    const id = await createUser();
    const other = await createUser();
    const ahead = new Date(Date.now() + 60 * minute).toISOString();
    const behind = new Date(Date.now() - 60 * minute).toISOString();
    const lines: readonly (readonly [string, string])[] = [
      ['nonsense', 'is not JSON'],
      ['[]', 'is no JSON object'],
      ['null', 'is no JSON object'],
      [lineFor(id, { session_id: '1' }), 'session_id must be a UUID'],
      [lineFor(id, { application_id: 7 }), 'application_id must be a text'],
      [lineFor(id, { session_kind: 'person' }), 'session_kind must be user or business'],
      [lineFor(id, { more: 1 }), 'has an unknown field'],
      ...['2026-01-31', '2026-02-30T00:00:00Z', '2026-01-31T12:00:00+02:00'].map(
        (time) =>
          [
            lineFor(id, { erased_at: time }),
            'erased_at must be a time in UTC, such as 2026-01-31T12:00:00.000Z',
          ] as const,
      ),
      ...['0000', '0001', '0099', '1999'].map(
        (year) =>
          [
            lineFor(newId(), { erased_at: `${year}-12-31T23:59:59.999Z` }),
            'erased_at must not be before the year 2000',
          ] as const,
      ),
      [lineFor(newId(), { erased_at: ahead }), 'erased_at is in the future'],
      [lineFor(id, { erased_at: behind }), 'erased_at is before the session was created'],
      [
        lineFor(id, { application_id: harness.target.applicationId }),
        'application_id is not the application that has the session',
      ],
      [lineFor(id, { session_kind: 'business' }), 'session_kind: the session is of kind user'],
      [`${lineFor(id)}${'x'.repeat(10_000)}`, 'has more than 1000 characters'],
    ];
    const [title, ...found] = await complaint([
      lineFor(other),
      ...lines.map(([text]) => text),
      lineFor(id),
    ]);
    expect(title).to.include('can not be used, so nothing was erased:');
    expect(found).to.deep.equal(lines.map(([, problem], index) => `line ${index + 2}: ${problem}`));
    expect([await isErased(id), await isErased(other)]).to.deep.equal([false, false]);
    expect(await replayLines([lineFor(other), '', lineFor(id)])).to.deep.equal({
      ...{ erased: 2, others: 0, cutOff: 0 },
    });
    expect([await isErased(id), await isErased(other)]).to.deep.equal([true, true]);
  });

  it('is checked to its end before anything is erased, however many lines it has', async () => {
    const id = await createUser();
    const many = Array.from({ length: 2_500 }, () => lineFor(id));
    const found = await complaint([...many, 'nonsense']);
    expect(found.slice(1)).to.deep.equal(['line 2501: is not JSON']);
    expect(await isErased(id)).to.equal(false);
    const wrong = await complaint(Array.from({ length: 2_500 }, () => '{}'));
    expect(wrong).to.have.length(22);
    expect(wrong.at(-1)).to.equal('and 2480 more');
  });

  it('may have lines that were cut off wherever a process was killed', async () => {
    const id = await createUser();
    const line = lineFor(newId());
    const parts = Array.from({ length: line.length - 1 }, (_, end) => line.slice(0, end + 1));
    const expected = { erased: 1, others: 0, cutOff: parts.length };
    expect(await replayLines([...parts, lineFor(id)])).to.deep.equal(expected);
  });

  it('has no line that was cut off where a whole line is followed by something', async () => {
    const id = await createUser();
    for (const end of [',', '\0', ' # a note', `,${lineFor(id)},`]) {
      const found = await complaint([`${lineFor(id)}${end}`]);
      expect(found.slice(1)).to.deep.equal(['line 1: is not JSON']);
    }
    expect(await isErased(id)).to.equal(false);
  });

  it('is refused if it can not be read twice', async () => {
    const error: unknown = await replay(runOf(harness.jobDb), '/dev/null').catch(
      (thrown: unknown) => thrown,
    );
    expect(String(error)).to.include('/dev/null is not a regular file');
  });

  const changes: Readonly<Record<string, (file: string) => Promise<void>>> = {
    shorter: (file) => truncate(file),
    longer: (file) =>
      appendFile(file, `\n${lineFor(newId(), { erased_at: '2999-01-01T00:00:00Z' })}`),
  };
  for (const [what, change] of Object.entries(changes)) {
    it(`must not become ${what} after it was checked`, async () => {
      const file = path.join(folder, `${what}.jsonl`);
      await writeFile(file, lineFor(await createUser()));
      const run = runOf(harness.jobDb);
      let asked = 0;
      const changing: Retry = async (work) => {
        const done = await run.retry(work);
        if (asked++ === 0) await change(file);
        return done;
      };
      const error: unknown = await replay({ ...run, retry: changing }, file).catch(
        (thrown: unknown) => thrown,
      );
      expect(String(error)).to.include('has changed since it was checked');
    });
  }

  it('is also compared with the record of earlier erasures', async () => {
    const id = await createUser();
    await replayLines([lineFor(id)]);
    await prune(runOf(harness.jobDb));
    const changed = { application_id: harness.target.applicationId };
    const found = await complaint([lineFor(id, changed)]);
    expect(found[1]).to.include('line 1: application_id is not the application');
    expect(await replayLines([lineFor(id)])).to.include({ erased: 0, others: 1 });
  });

  it('has the data deleted of a session that has come back as an erased one, without its record', async () => {
    const { db, jobDb } = harness;
    const id = await createUser();
    const line = lineFor(id);
    await replayLines([line]);
    // A backup of the sessions alone was made now.
    await prune(runOf(jobDb));
    const restored = await createUser();
    await db('user_sessions')
      .where({ id: toBinary(restored) })
      .update({ id: toBinary(id), erased_at: new Date() });
    await replayLines([line]);
    expect(await harness.prune()).to.include({ sessions: 1 });
    expect(await db('user_sessions').where({ id: toBinary(id) })).to.deep.equal([]);
  });

  it('deletes no session of another application that is restored later', async () => {
    const { db, jobDb, source, target } = harness;
    const sessionId = newId<SessionId>();
    const erasure = { sessionId, kind: 'user', erasedAt: new Date() } as const;
    const { applicationId } = target;
    expect(await replayErasure(jobDb, { ...erasure, applicationId })).to.equal(false);
    await db('user_sessions')
      .where({ id: toBinary(await createUser()) })
      .update({ id: toBinary(sessionId) });
    expect(await harness.prune()).to.include({ sessions: 0 });
    expect(await isErased(sessionId)).to.equal(false);
    const again: unknown = await replayErasure(jobDb, { ...erasure, applicationId }).catch(
      (error: unknown) => error,
    );
    expect(String(again)).to.include('is not the one that was erased');

    // Once its own application has erased it, its data are deleted.
    await replayErasure(jobDb, { ...erasure, applicationId: source.applicationId });
    expect(await harness.prune()).to.include({ sessions: 1 });
  });
});
