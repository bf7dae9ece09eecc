/**
 * Measures the service beside other ways of doing the same, on a private MySQL:
 *
 *     node -r sucrase/register bench/main.ts [--full] [--save NAME]
 */
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { startMysql } from '../scripts/mysql/server';
import { openDatabase } from '../src/db/connection';
import type { Database } from '../src/db/database';
import { Bench, rate } from './bench';
import { scaleCalls } from './calls';
import { drawChart } from './chart';
import { createDatabase } from './databases';
import { fromAfar, type Distance } from './distance';
import { createProcedures } from './contestants/procedure';
import { describeEnvironment, mysqldArguments } from './environment';
import { mysqlPid } from './processes';
import { describeResults, machineReadable, type Results } from './report';
import { saveResults } from './save';
import { hotTail, scaleDatabase, scaleRows, watchMemory } from './scaling';
import { startService, type RunningService } from './service';
import { businessContest, contest, openLoop } from './throughput';
import { watchedAndUnwatched } from './watching';
import { compareAlgorithms, tune } from './tuning';
import { createWorld } from './world';
import type { World } from './subjects';

/** How much of its best rate the service is given in the open loop. */
const openLoopShare = 0.7;

const { values: options } = parseArgs({
  options: { full: { type: 'boolean', default: false }, save: { type: 'string' } },
});

async function main(): Promise<void> {
  const { full, save: name = full ? 'full' : 'quick' } = options;
  // A server of its own, with settings that are known, and room for whatever is written.
  delete process.env['DATABASE_URL'];
  const mysql = await startMysql({ mysqldArguments });
  const db = await migrated(mysql.url);
  const world = await createWorld(db, mysql.url);
  await createProcedures(db);
  const bench = new Bench(world, await mysqlPid(db));
  const service = await startService(world);

  announce('imports by every contestant, in turns');
  const { measurements, ratios } = await contest(db, world, bench, service, full ? 7 : 3);
  const best = Math.max(
    ...Object.values(measurements)
      .filter(({ contestant }) => contestant === 'service')
      .map(rate),
  );
  announce('what it costs to be watched');
  const watching = await watchedAndUnwatched(db, world, bench, service, full ? 15 : 7);
  announce('calls that come when they like');
  const loop = await openLoop(db, world, bench, service, best * openLoopShare, full ? 15 : 2);
  announce('a network between them and MySQL');
  const distances: Distance[] = [];
  for (const milliseconds of full ? [1, 5] : [1]) {
    const options = { rounds: full ? 5 : 3, crowds: full };
    distances.push(await fromAfar(db, world, bench, milliseconds, options));
  }
  const found: Results = {
    environment: await describeEnvironment(db),
    ratios: {
      ...ratios,
      watched_vs_unwatched: watching.ratio,
      ...Object.fromEntries(
        distances.map(({ milliseconds, soloLatency }) => [
          `solo_latency_vs_procedure_${milliseconds}_ms_away`,
          soloLatency,
        ]),
      ),
    },
    distances,
    measurements,
    watching: watching.measurements,
    openLoop: loop,
    ...(full ? { full: await measureMore(db, world, bench, service, mysql.url) } : {}),
  };
  await save(found, name);
  process.stdout.write(`${describeResults(found)}\n${machineReadable(found)}\n`);

  bench.close();
  await service.stop();
  await db.destroy();
  await mysql.stop();
}

async function measureMore(
  db: Database,
  world: World,
  bench: Bench,
  service: RunningService,
  url: string,
): Promise<NonNullable<Results['full']>> {
  announce('business sessions');
  const business = await businessContest(db, world, bench, service, 5);
  announce('sessions of ever more rows');
  const rows = await scaleRows(db, world, bench, service);
  announce('sessions written a moment ago');
  const hot = await hotTail(db, world, bench, service, 8);
  announce('settings');
  const tuning = await tune(db, world, bench, 3);
  announce('signature algorithms');
  const verification = await compareAlgorithms();
  announce('memory');
  const memory = await watchMemory(db, world, bench, service);
  announce('databases of two sizes');
  const databaseSizes = await scaleDatabase(bench, (name) => another(url, name), 7);
  announce('other calls, on databases of two sizes');
  const calls = await scaleCalls(
    (name) => another(url, name),
    await mysqlPid(db),
    [1_000, 1_000_000],
    5,
  );
  return { business, rows, hotTail: hot, tuning, verification, memory, databaseSizes, calls };
}

/** Says what is being measured, since it takes minutes. */
function announce(what: string): void {
  const time = new Date().toISOString().slice(11, 19);
  process.stderr.write(`${time} ${what}\n`);
}

/** An empty database of a name, on the same server, up to date. */
async function another(
  url: string,
  name: string,
): Promise<{ readonly db: Database; readonly url: string }> {
  const own = await createDatabase(url, name);
  return { db: await migrated(own), url: own };
}

async function migrated(url: string): Promise<Database> {
  const db = openDatabase({ url, poolSize: 4, lockWaitSeconds: 50 });
  await db.migrate.latest();
  return db;
}

async function save(found: Results, name: string): Promise<void> {
  const base = await saveResults(name, found);
  await writeFile(`${base}.svg`, drawChart(found));
}

main().then(
  () => process.exit(),
  (error: unknown) => {
    process.stderr.write(
      `${error instanceof Error ? (error.stack ?? '') : 'the benchmark has failed'}\n`,
    );
    process.exit(1);
  },
);
