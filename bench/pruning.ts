/**
 * Measures what callers notice of a large `prune`: how long imports take while it runs, against imports without it.
 *
 *     node -r sucrase/register bench/pruning.ts [rounds]
 *
 * Imports come at random moments, at a rate that the service can serve with ease. It writes bench/results/pruning.json.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { startMysql } from '../scripts/mysql/server';
import { openDatabase } from '../src/db/connection';
import { migrateUp } from '../src/db/migrate';
import { write } from '../src/db/query';
import { toBinary } from '../src/model/ids';
import { Bench } from './bench';
import { addRows, multiply } from './copies';
import { describeEnvironment, mysqldArguments } from './environment';
import { mysqlPid } from './processes';
import { saveResults } from './save';
import { builtProgram, startService } from './service';
import { median, quantile } from './statistics';
import { createWorld, Supply } from './world';

/** Erased sessions for each round; the job must not run out of them while imports are measured. */
const erased = 500;

/** More log entries for each of them. */
const logEntries = 200;

/** A round: so many imports, and so many of them a second. */
const importsOfRound = 300;
const perSecond = 20;

interface Latencies {
  readonly p50: number;
  readonly p99: number;
}

interface Round {
  readonly quiet: Latencies;
  readonly pruning: Latencies;
  /** Rows that the job deleted in that time, for each second. */
  readonly rowsPerSecond: number;
}

async function main(rounds: number): Promise<void> {
  delete process.env['DATABASE_URL'];
  const mysql = await startMysql({ mysqldArguments });
  const db = openDatabase({ url: mysql.url, poolSize: 8, lockWaitSeconds: 50 });
  await migrateUp(db);
  const world = await createWorld(db, mysql.url);
  const bench = new Bench(world, await mysqlPid(db));
  const service = await startService(world);
  const supply = await Supply.create(db, world, { kind: 'user', sources: 700, importing: 10 });
  const [template] = await multiply(db, world, 'user', world.templates.user, 1);
  if (!template) throw new Error('there is no template');
  await addRows(db, 'user_logs', template, logEntries);

  const eraseMany = async (): Promise<void> => {
    const ids = await multiply(db, world, 'user', template, erased);
    const at = new Date();
    await write(db, {
      sql: 'UPDATE user_sessions SET erased_at = ? WHERE id IN (?)',
      bindings: [at, ids.map(toBinary)],
    });
    await write(db, {
      sql: 'INSERT INTO session_erasures (session_id, application_id, session_kind, erased_at, cause) VALUES ?',
      bindings: [ids.map((id) => [toBinary(id), toBinary(world.source), 'user', at, 'request'])],
    });
  };
  const importAll = async (count: number): Promise<Latencies> => {
    const { run } = await bench.round('service', supply.take(count), { perSecond }, service);
    return { p50: quantile(run.latencies, 0.5), p99: quantile(run.latencies, 0.99) };
  };
  /** Imports while the program prunes with its defaults, and then stops it. */
  const importWhilePruning = async (): Promise<[Latencies, number]> => {
    await eraseMany();
    const job = spawn(process.execPath, [builtProgram, 'prune', '--json'], {
      env: { PATH: process.env['PATH'], DATABASE_URL: mysql.url },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ended = once(job, 'exit');
    let printed = '';
    job.stdout.on('data', (text: Buffer) => {
      printed += text.toString();
    });
    const startedAt = performance.now();
    const latencies = await importAll(importsOfRound);
    if (job.exitCode !== null) throw new Error('prune ended before the imports');
    const seconds = (performance.now() - startedAt) / 1_000;
    job.kill('SIGTERM');
    await ended;
    const { rows } = JSON.parse(printed) as { readonly rows: number };
    return [latencies, rows / seconds];
  };

  await importAll(importsOfRound);
  const measured: Round[] = [];
  for (let round = 0; round < rounds; round++) {
    const quiet = await importAll(importsOfRound);
    const [pruning, rowsPerSecond] = await importWhilePruning();
    measured.push({ quiet, pruning, rowsPerSecond });
    process.stdout.write(`${JSON.stringify(measured.at(-1))}\n`);
  }
  const ratio = median(measured.map(({ quiet, pruning }) => pruning.p99 / quiet.p99));
  const found = {
    environment: await describeEnvironment(db),
    load: { importsOfRound, perSecond, erased, logEntries },
    rounds: measured,
    p99_pruning_vs_quiet: ratio,
  };
  await saveResults('pruning', found);
  process.stdout.write(`p99 of imports while prune runs, against quiet: ${ratio.toFixed(2)}\n`);
  bench.close();
  await service.stop();
  await db.destroy();
  await mysql.stop();
}

main(Number(process.argv[2] ?? '5')).catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});
