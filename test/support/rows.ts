import { createPool, type RowDataPacket } from 'mysql2';
import type { Pool } from 'mysql2/promise';
import { setSession } from '../../src/db/session-settings';
import { toBinary, type SessionId } from '../../src/model/ids';
import { kindSchemas } from '../../src/model/relations';
import type { SessionKind } from '../../src/model/session';
import { eventually, pause, without } from './helpers';
import { databaseUrl } from './mysql';

/** A row as the database holds it, to the last digit: dates, decimals and JSON as text. */
export type Row = Readonly<Record<string, unknown>>;

/** Rows by table. */
export type Rows = Readonly<Record<string, readonly Row[]>>;

let pool: Pool | undefined;

/** A pool that hides nothing: mysql2 would round microseconds and re-format JSON. */
function exact(): Pool {
  pool ??= openExact();
  return pool;
}

function openExact(): Pool {
  const opened = createPool({
    uri: databaseUrl(),
    timezone: 'Z',
    dateStrings: true,
    supportBigNumbers: true,
    bigNumberStrings: true,
    jsonStrings: true,
  });
  // A connection may be opened while a test has changed the server's global settings. This sets its own, before its
  // first query.
  opened.on('connection', (connection) => {
    void setSession(connection.promise(), { lockWaitSeconds: 10 });
  });
  return opened.promise();
}

after(async () => {
  await pool?.end();
  pool = undefined;
});

/** Runs a query and returns its rows exactly as they are stored. */
export async function select(sql: string, values: readonly unknown[] = []): Promise<Row[]> {
  const [rows] = await exact().query<RowDataPacket[]>(sql, values as never);
  return rows;
}

/** The checksum of every table there is: they stay the same as long as nothing is written. */
export async function checksums(): Promise<Row[]> {
  const tables = await select(
    `SELECT TABLE_NAME AS name FROM information_schema.TABLES
     WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'BASE TABLE' ORDER BY TABLE_NAME`,
  );
  return select(
    `CHECKSUM TABLE ${tables.map(({ name }) => `\`${String(name)}\``).join()} EXTENDED`,
  );
}

/** How often work is done again that seems to cost too much. */
const goes = 20;

/**
 * Does work, and tells how much some counters of MySQL have grown by that. They count what others do
 * at that moment as well, where the tests share a server: so work that is not below what it may cost is
 * done again, and the least counts.
 */
export async function counting<T>(
  counters: readonly string[],
  below: number,
  work: () => Promise<T>,
): Promise<{ readonly result: T; readonly grown: number }> {
  const sum = async (): Promise<number> => {
    const counts = await select('SHOW GLOBAL STATUS WHERE Variable_name IN (?)', [counters]);
    return counts.reduce((total, { Value: count }) => total + Number(count), 0);
  };
  let least = Number.POSITIVE_INFINITY;
  for (let go = 1; ; go++) {
    const before = await sum();
    const result = await work();
    least = Math.min(least, (await sum()) - before);
    if (least < below || go === goes) return { result, grown: least };
  }
}

/** Does work, and counts the steps through indexes that MySQL takes for it, forwards or backwards. */
export async function countingSteps<T>(
  below: number,
  work: () => Promise<T>,
): Promise<{ readonly result: T; readonly rows: number }> {
  const counters = ['Handler_read_next', 'Handler_read_prev'];
  const { result, grown } = await counting(counters, below, work);
  return { result, rows: grown };
}

/** Everything that belongs to a session, less the column that says so. */
export async function relationRows(kind: SessionKind, id: SessionId): Promise<Rows> {
  const rows: Record<string, readonly Row[]> = {};
  for (const { table } of kindSchemas[kind].relations) rows[table] = await tableRows(table, id);
  return rows;
}

/** How many rows a session has, by table. */
export async function rowCounts(
  kind: SessionKind,
  id: SessionId,
): Promise<Readonly<Record<string, number>>> {
  const tables = kindSchemas[kind].relations.map(({ table }) => table);
  const counts = tables.map((table) => `(SELECT COUNT(*) FROM ${table} WHERE session_id = ?)`);
  const [found = {}] = await select(
    `SELECT ${counts.map((count, index) => `${count} AS ${tables[index] ?? ''}`).join(', ')}`,
    tables.map(() => toBinary(id)),
  );
  return Object.fromEntries(tables.map((table) => [table, Number(found[table])]));
}

/** What belongs to a session in one table, less the column that says so. */
export async function tableRows(table: string, id: SessionId): Promise<Row[]> {
  const found = await select('SELECT * FROM ?? WHERE session_id = ?', [table, toBinary(id)]);
  return found
    .map((row): Row => without(row, 'session_id'))
    .sort((a, b) => compareKeys(keyOf(a), keyOf(b)));
}

/** The columns that make up a relation's key, besides the session. */
const keyColumns = ['check_ordinal', 'screening_ordinal', 'ordinal'];

function keyOf(row: Row): number[] {
  return keyColumns.map((column) => Number(row[column] ?? 0));
}

function compareKeys(a: readonly number[], b: readonly number[]): number {
  for (const [index, value] of a.entries()) {
    const difference = value - (b[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** The session's own row. */
export async function sessionRow(kind: SessionKind, id: SessionId): Promise<Row | undefined> {
  const [row] = await select('SELECT * FROM ?? WHERE id = ?', [
    kindSchemas[kind].sessions,
    toBinary(id),
  ]);
  return row;
}

/** Waits until MySQL carries out a statement in the database of the tests. */
export async function underWay(like: string): Promise<void> {
  await eventually(async () => {
    const found = await select(
      'SELECT 1 FROM information_schema.processlist WHERE db = DATABASE() AND info LIKE ?',
      [like],
    );
    return found.length > 0;
  });
}

/** Waits until a statement in the database of the tests waits for a table that somebody has locked. */
export async function tableLockWaits(): Promise<void> {
  await eventually(async () => {
    const waiting = await select(
      `SELECT 1 FROM information_schema.processlist
       WHERE db = DATABASE() AND state LIKE 'Waiting for table%'`,
    );
    return waiting.length > 0;
  });
}

/** How long MySQL says the same of its transactions if it is asked again before, in milliseconds. */
const sameTransactions = 110;

/** When MySQL may be asked again. Two who ask in turns, each too soon after the other, would never be told news. */
let mayAskAgain = Promise.resolve();

/** How many transactions in the database of the tests wait for a row that is locked. */
async function rowLockWaiters(): Promise<number> {
  const asked = mayAskAgain.then(() =>
    select(
      `SELECT 1 FROM information_schema.innodb_trx JOIN information_schema.processlist
         ON id = trx_mysql_thread_id
       WHERE db = DATABASE() AND trx_state = 'LOCK WAIT'`,
    ),
  );
  mayAskAgain = asked.then(
    () => pause(sameTransactions),
    () => undefined,
  );
  return (await asked).length;
}

/** Waits until some transactions in the database of the tests wait for a row that is locked. */
export async function rowLockWaits(transactions = 1): Promise<void> {
  while ((await rowLockWaiters()) < transactions);
}
