import { setTimeout as sleep } from 'node:timers/promises';
import type { Database } from '../src/db/database';
import { toBinary, type SessionId } from '../src/model/ids';
import { read, select, write } from '../src/db/query';
import { kindSchemas } from '../src/model/relations';
import { rate, summarise, type Bench, type Round } from './bench';
import { addRows, multiply, rowsOf } from './copies';
import { residentMemory } from './processes';
import { startService, type RunningService } from './service';
import { median } from './statistics';
import { createImporting, createWorld, Supply } from './world';
import type { World } from './subjects';

/** What importing a session of some size takes. */
export interface RowScaling {
  readonly rows: number;
  /** Milliseconds from call to answer, of one caller: the median. */
  readonly milliseconds: number;
  readonly millisecondsOfProcedure: number;
  /** Statements that MySQL was sent for each import. */
  readonly statements: number;
}

/** Imports sessions of ever more rows, one at a time. */
export async function scaleRows(
  db: Database,
  world: World,
  bench: Bench,
  service: RunningService,
): Promise<RowScaling[]> {
  const results: RowScaling[] = [];
  for (const rows of [10, 100, 1_000, 2_000, 5_000, 10_000]) {
    const template = await sessionOf(db, world, rows);
    const imports = rows > 1_000 ? 20 : 60;
    const supply = await Supply.create(db, world, {
      kind: 'user',
      sources: imports * 3,
      importing: 1,
      template,
    });
    await bench.round('service', supply.take(imports), { callers: 1 }, service);
    const before = await statementsUntilNow(db);
    const measured = await bench.round('service', supply.take(imports), { callers: 1 }, service);
    const statements = ((await statementsUntilNow(db)) - before) / imports;
    const procedure = await bench.round('procedure', supply.take(imports), { callers: 1 });
    results.push({
      rows,
      milliseconds: median(measured.run.latencies),
      millisecondsOfProcedure: median(procedure.run.latencies),
      statements,
    });
  }
  return results;
}

/** Makes a session with a screening, and the rest half hits and half log entries. */
async function sessionOf(db: Database, world: World, rows: number): Promise<SessionId> {
  const [id] = await multiply(db, world, 'user', world.templates.user, 1);
  if (id === undefined) throw new Error('no session was made');
  const kept = new Set(['user_aml_screenings', 'user_aml_hits', 'user_logs']);
  for (const { table } of kindSchemas.user.relations.toReversed()) {
    const first = kept.has(table) ? 'ordinal > 0' : 'TRUE';
    await write(db, {
      sql: `DELETE FROM ${table} WHERE session_id = ? AND ${first}`,
      bindings: [toBinary(id)],
    });
  }
  await write(db, {
    sql: 'DELETE FROM user_aml_hits WHERE session_id = ? AND screening_ordinal > 0',
    bindings: [toBinary(id)],
  });
  await addRows(db, 'user_aml_hits', id, rows / 2 - 2);
  await addRows(db, 'user_logs', id, rows / 2 - 1);
  return id;
}

async function statementsUntilNow(db: Database): Promise<number> {
  const [row] = await read(
    db,
    select<{ Value: string }>("SHOW GLOBAL STATUS LIKE 'Questions'", []),
  );
  return Number(row?.Value);
}

/** How fast imports are into a database that holds so many sessions. */
export interface DatabaseSize {
  readonly sessions: number;
  readonly importsPerSecond: number;
  readonly soloMilliseconds: number;
}

/** Imports into a small and a large database of one server, in turns. */
export async function scaleDatabase(
  bench: Bench,
  makeDatabase: (name: string) => Promise<{ readonly db: Database; readonly url: string }>,
  rounds: number,
): Promise<DatabaseSize[]> {
  const sizes = [1_000, 100_000];
  const contestants = [];
  for (const sessions of sizes) {
    const { db, url } = await makeDatabase(`bench_${sessions}`);
    const world = await createWorld(db, url);
    const ids = await multiply(db, world, 'user', world.templates.user, sessions);
    // Imported are sessions from everywhere in the database, and not those that came last.
    const some = ids.filter((_, index) => index % Math.floor(sessions / 1_000) === 0);
    const rows = await rowsOf(db, 'user', world.templates.user);
    const supply = new Supply('user', some, await createImporting(db, 50), rows);
    const service = await startService(world);
    const of = (imports: number, callers: number): Promise<Round> =>
      bench.round('service', supply.take(imports), { callers }, service, world);
    await of(500, 64);
    contestants.push({ sessions, rows, db, service, of, many: [] as Round[], solo: [] as Round[] });
  }
  for (let round = 0; round < rounds; round++) {
    for (const { of, many, solo } of contestants) {
      many.push(await of(500, 64));
      solo.push(await of(80, 1));
    }
  }
  const results = contestants.map(({ sessions, rows, many, solo }) => ({
    sessions,
    importsPerSecond: rate(summarise('service', { callers: 64 }, many, rows)),
    soloMilliseconds: summarise('service', { callers: 1 }, solo, rows).latency.p50,
  }));
  for (const { db, service } of contestants) {
    await service.stop();
    await db.destroy();
  }
  return results;
}

/** Imports of sessions that were written a moment ago, beside imports of old ones. */
export interface HotTail {
  readonly coldPerSecond: number;
  readonly hotPerSecond: number;
}

/** Whoever writes sessions commits often. */
const sessionsOfOneWrite = 20;

/** While somebody writes new sessions all the time, imports either old ones or the ones just written. */
export async function hotTail(
  db: Database,
  world: World,
  bench: Bench,
  service: RunningService,
  rounds: number,
): Promise<HotTail> {
  const batch = 400;
  const { user: template } = world.templates;
  const rows = await rowsOf(db, 'user', template);
  const importing = await createImporting(db, 50);
  const old = new Supply(
    'user',
    await multiply(db, world, 'user', template, batch),
    importing,
    rows,
  );

  const written: SessionId[] = [];
  const stop = new AbortController();
  const writer = (async () => {
    while (!stop.signal.aborted) {
      written.push(...(await multiply(db, world, 'user', template, sessionsOfOneWrite)));
    }
  })();
  const rates = { cold: [] as number[], hot: [] as number[] };
  for (let round = 0; round < rounds; round++) {
    for (const kind of ['cold', 'hot'] as const) {
      const before = written.length;
      while (written.length < before + batch) await sleep(10);
      const fresh = new Supply('user', written.slice(-batch), importing, rows);
      const taken = (kind === 'cold' ? old : fresh).take(batch);
      const { run } = await bench.round('service', taken, { callers: 64 }, service);
      rates[kind].push(run.calls / run.seconds);
    }
  }
  stop.abort();
  await writer;
  return { coldPerSecond: median(rates.cold), hotPerSecond: median(rates.hot) };
}

/** The service's memory while it imports, in MiB. */
export interface Memory {
  readonly imports: number;
  readonly megabytes: number;
}

/** Imports a small session a great many times, and looks at the service's memory. */
export async function watchMemory(
  db: Database,
  world: World,
  bench: Bench,
  service: RunningService,
): Promise<Memory[]> {
  const step = 10_000;
  const template = await sessionOf(db, world, 10);
  const supply = await Supply.create(db, world, {
    kind: 'user',
    sources: 2_000,
    importing: 51,
    template,
  });
  const samples: Memory[] = [];
  for (let imports = step; imports <= 10 * step; imports += step) {
    await bench.round('service', supply.take(step), { callers: 64 }, service);
    // What is left once nothing runs, and the collector had a moment.
    await sleep(500);
    samples.push({ imports, megabytes: residentMemory(service.pid) });
  }
  return samples;
}
