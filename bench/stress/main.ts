/**
 * Attacks the service in all scenarios, on a private MySQL, and measures what an application notices that
 * calls it meanwhile:
 *
 *     node -r sucrase/register bench/stress/main.ts [--seconds 60] [--only quiet,imports]
 *       [--dist dist] [--save stress-quick]
 *
 * `--dist` plays against another build. The results go to bench/results/, under the name of `--save`.
 * The exit code says whether everything holds.
 */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs, promisify } from 'node:util';
import { startMysql } from '../../scripts/mysql/server';
import { openDatabase } from '../../src/db/connection';
import type { Database } from '../../src/db/database';
import { read, select } from '../../src/db/query';
import { multiply } from '../copies';
import { describeEnvironment, mysqldArguments } from '../environment';
import { mysqlPid } from '../processes';
import { saveResults } from '../save';
import { builtProgram } from '../service';
import { createWorld } from '../world';
import { multiplyCompany } from './bulk';
import { eachKind, type CallKind } from './calls';
import { perSecond, play, sourcesNeeded, unplayed, type Played } from './play';
import { describeResult, describeResults, resultOf, type StressResults } from './report';
import { scenarios, type Scenario } from './scenarios';
import { createTenant, type Stage } from './stage';
import { latencyOf, shortcomings, type Latency } from './verdict';

/** What docs/deployment.md says that a server should take in one transaction. */
const transactionBytes = 16 * 2 ** 20;

/** 16 MiB. */
const fewPages = 1_024;

/** The service's own database user, with the least rights (docs/security.md). */
const serviceUser = 'service';

const { values: options } = parseArgs({
  options: {
    seconds: { type: 'string', default: '15' },
    only: { type: 'string' },
    dist: { type: 'string' },
    save: { type: 'string', default: 'stress-quick' },
  },
});

async function main(): Promise<boolean> {
  const seconds = Number(options.seconds);
  if (!Number.isInteger(seconds) || seconds < 1) {
    throw new Error('--seconds must be a whole number from 1');
  }
  const program = options.dist ? path.resolve(options.dist, 'main.js') : builtProgram;
  const chosen = chosenScenarios(options.only);
  delete process.env['DATABASE_URL'];
  const mysql = await startMysql({ mysqldArguments });
  // By the program itself: another build may have another schema.
  await promisify(execFile)(process.execPath, [program, 'migrate'], {
    env: { PATH: process.env['PATH'], DATABASE_URL: mysql.url },
  });
  const db = openDatabase({ url: mysql.url, poolSize: 4, lockWaitSeconds: 50 });
  await db.raw(`CREATE USER '${serviceUser}'@'%'`);
  await db.raw(`GRANT SELECT, INSERT, UPDATE ON *.* TO '${serviceUser}'@'%'`);
  const serviceUrl = new URL(mysql.url);
  serviceUrl.username = serviceUser;
  const world = await createWorld(db, serviceUrl.href);
  const stage: Stage = {
    db,
    adminUrl: mysql.url,
    world,
    attacker: await createTenant(db),
    seconds,
  };

  announce('making what it takes');
  const needed = sourcesNeeded(seconds);
  const sources = {
    users: await multiply(db, world, 'user', world.templates.user, needed.users),
    companies: await multiplyCompany(stage, world.templates.business, needed.companies),
  };
  const ready = [];
  for (const scenario of chosen) {
    ready.push({ scenario, plan: await scenario.prepare(stage) });
  }

  announce('waiting until MySQL has written that');
  await written(db);
  // Not before: what was made until now takes larger transactions.
  await db.raw('SET GLOBAL max_binlog_cache_size = ?', [transactionBytes]);

  const pid = await mysqlPid(db);
  const environment = await describeEnvironment(db);
  const played: { readonly scenario: Scenario; readonly seen: Played }[] = [];
  const found = (): StressResults => {
    const quiet = quietLatency(played);
    const results = played.map(({ scenario, seen }) =>
      resultOf(scenario, seen, quiet, shortcomings(seen, quiet)),
    );
    return { environment, seconds, perSecond, scenarios: results };
  };
  for (const { scenario, plan } of ready) {
    announce(scenario.title);
    const seen = await play(stage, plan, sources, { program, mysqlPid: pid }).catch(unplayed);
    played.push({ scenario, seen });
    const soFar = found();
    const last = soFar.scenarios.at(-1);
    if (last) announce(describeResult(last));
    // After each scenario, so that there are results even if the run is stopped.
    await saveResults(options.save, soFar);
  }

  process.stdout.write(`${describeResults(found())}\n`);
  await db.destroy();
  await mysql.stop();
  return found().scenarios.every(
    ({ control, shortcomings: { length } }) => control === true || length === 0,
  );
}

/** Waits until less than 16 MiB is dirty: otherwise MySQL would write gigabytes during the first scenarios. */
async function written(db: Database): Promise<void> {
  await db.raw('SET GLOBAL innodb_max_dirty_pages_pct = 0');
  for (;;) {
    const [row] = await read(
      db,
      select<{ Value: string }>("SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_pages_dirty'", []),
    );
    if (Number(row?.Value) < fewPages) break;
    await sleep(500);
  }
  await db.raw('SET GLOBAL innodb_max_dirty_pages_pct = DEFAULT');
}

/**
 * The latencies while nobody else called, the smaller ones if there are several: if something else used
 * the machine during a quiet time, that must not make the attacks look harmless.
 *
 * @throws Error if the service did not even answer then.
 */
function quietLatency(
  played: readonly { readonly scenario: Scenario; readonly seen: Played }[],
): Record<CallKind, Latency> {
  const quiet = played.flatMap(({ scenario, seen }) =>
    scenario.quiet && seen.victim ? [seen.victim] : [],
  );
  return eachKind((kind) => {
    const [least] = quiet
      .map((victim) => latencyOf(victim[kind]))
      .toSorted((one, other) => one.p99 - other.p99);
    if (!least) {
      const why = played.flatMap(({ seen }) => seen.faults).join('; ');
      throw new Error(`there is nothing to compare with: ${why}`);
    }
    return least;
  });
}

/** The scenarios with the given names, and always the quiet one. */
function chosenScenarios(names: string | undefined): readonly Scenario[] {
  if (names === undefined) return scenarios;
  const wanted = new Set(['quiet', ...names.split(',')]);
  for (const name of wanted) {
    if (!scenarios.some((scenario) => scenario.name === name)) {
      throw new Error(`there is no scenario ${name}`);
    }
  }
  return scenarios.filter(({ name }) => wanted.has(name));
}

/** Says what is going on, since it takes minutes. */
function announce(what: string): void {
  const time = new Date().toISOString().slice(11, 19);
  process.stderr.write(`${time} ${what}\n`);
}

main().then(
  (holds) => process.exit(holds ? 0 : 1),
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? (error.stack ?? '') : 'it has failed'}\n`);
    process.exit(2);
  },
);
