import * as fc from 'fast-check';
import { openMultiDatabase } from '../../src/db/connection';
import type { Database, MultiDatabase } from '../../src/db/database';
import { createRetry, type Retry } from '../../src/db/retry';
import type { SessionId } from '../../src/model/ids';
import { kindSchemas } from '../../src/model/relations';
import type { SessionKind } from '../../src/model/session';
import { prune } from '../../src/prune/prune';
import {
  emptyTally,
  type PruneRun,
  type PruneSettings,
  type PruneTally,
} from '../../src/prune/run';
import { createTenant } from './fixtures';
import { createMigratedDatabase, createPruneUser, open } from './mysql';
import { anyRelations, insertRelations } from './random-session';
import { startHarness, type Harness } from './service';

/** A service on a database of its own, and the job that prunes beside it. */
export interface PruneHarness extends Harness {
  /** The database's address for the service. */
  readonly serviceUrl: string;
  /** The database's address for the job's user. */
  readonly jobUrl: string;
  /** For the job: with its rights. */
  readonly jobDb: MultiDatabase;
  /** Runs the job in this process, and tells what it has done. */
  prune(settings?: Partial<PruneSettings>, run?: Partial<PruneRun>): Promise<PruneTally>;
}

const retry: Retry = createRetry(() => undefined);

/** A job is for a whole database, so it must not be that of other tests. */
export async function startPruneHarness(): Promise<PruneHarness> {
  const url = await createMigratedDatabase();
  const db = open(url);
  const jobUrl = await createPruneUser(db, url);
  const jobDb = openMultiDatabase({ url: jobUrl, poolSize: 4, lockWaitSeconds: 10 });
  const harness = await startHarness({ environment: { DATABASE_URL: url } });
  await harness.db.destroy();
  return {
    ...harness,
    db,
    source: await createTenant(db),
    target: await createTenant(db),
    serviceUrl: url,
    jobUrl,
    jobDb,
    async prune(settings = {}, more = {}) {
      const run = runOf(jobDb, settings, more);
      await prune(run);
      return run.tally;
    },
    async stop() {
      await jobDb.destroy();
      await harness.stop();
      await db.destroy();
    },
  };
}

/** A run of the job without pauses. */
export function runOf(
  db: MultiDatabase,
  settings: Partial<PruneSettings> = {},
  more: Partial<PruneRun> = {},
): PruneRun {
  return {
    db,
    retry,
    now: new Date(),
    record: undefined,
    tally: emptyTally(),
    told: () => undefined,
    signal: new AbortController().signal,
    settings: {
      refusedImportsBefore: undefined,
      shareTokensBefore: undefined,
      answersBefore: undefined,
      eventsBefore: undefined,
      complete: true,
      batch: 500,
      pause: 0,
      ...settings,
    },
    ...more,
  };
}

/** The columns of a table that can hold a text of some length, with whether that is JSON. */
async function textColumns(db: Database, table: string): Promise<Map<string, boolean>> {
  const [rows] = (await db.raw(
    `SELECT COLUMN_NAME AS name, DATA_TYPE AS type FROM information_schema.COLUMNS
     WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ?
       AND (DATA_TYPE IN ('json', 'longtext', 'text') OR (DATA_TYPE = 'varchar' AND CHARACTER_MAXIMUM_LENGTH >= 32))`,
    [table],
  )) as [{ readonly name: string; readonly type: string }[]];
  return new Map(rows.map(({ name, type }) => [name, ['json', 'longtext'].includes(type)]));
}

/** Gives a session random rows in which every text and JSON value is found nowhere else, and tells these values. */
export async function fillWithNeedles(
  db: Database,
  kind: SessionKind,
  id: SessionId,
): Promise<string[]> {
  const [relations = {}] = fc.sample(await anyRelations(kind), 1);
  const needles: string[] = [];
  const filled: Record<string, Record<string, unknown>[]> = {};
  for (const { table } of kindSchemas[kind].relations) {
    const columns = await textColumns(db, table);
    filled[table] = (relations[table] ?? []).map((row) => {
      const marked = [...columns].map(([name, json]) => {
        const needle = `needle${kind}${needles.length}x${id.slice(-6)}x`;
        needles.push(needle);
        return [name, json ? JSON.stringify({ [needle]: [needle] }) : needle] as const;
      });
      return { ...row, kyc_session_id: undefined, ...Object.fromEntries(marked) };
    });
  }
  await insertRelations(db, kind, id, withoutUndefined(filled));
  return needles;
}

function withoutUndefined(
  rows: Readonly<Record<string, readonly Record<string, unknown>[]>>,
): Record<string, Record<string, unknown>[]> {
  return Object.fromEntries(
    Object.entries(rows).map(([table, list]) => [
      table,
      list.map((row) =>
        Object.fromEntries(Object.entries(row).filter(([, value]) => value !== undefined)),
      ),
    ]),
  );
}

/** Everything that a database has: each value as text, and bytes in hexadecimal digits as well. */
export async function dump(db: Database): Promise<string> {
  const [tables] = (await db.raw('SHOW FULL TABLES WHERE Table_type = ?', ['BASE TABLE'])) as [
    Record<string, string>[],
  ];
  const parts: string[] = [];
  for (const [table = ''] of tables.map((row) => Object.values(row))) {
    const rows = (await db(table).select()) as Record<string, unknown>[];
    for (const row of rows) parts.push(table, ...Object.values(row).map(textOf));
  }
  return parts.join('\n');
}

function textOf(value: unknown): string {
  if (Buffer.isBuffer(value)) return `${value.toString('hex')} ${value.toString('utf8')}`;
  return value !== null && typeof value === 'object' ? JSON.stringify(value) : String(value);
}
