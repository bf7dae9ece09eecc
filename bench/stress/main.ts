/**
 * Plays what others can do to the service, and looks at what an application that goes on calling
 * notices of it, on a private MySQL:
 *
 *     node -r sucrase/register bench/stress/main.ts [--seconds 60] [--only quiet,imports]
 *       [--dist dist] [--save stress-quick]
 *
 * `--dist` plays against another build. The results go to bench/results/, under the name of `--save`.
 * The exit code says whether everything holds.
 */
import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { startMysql } from '../../scripts/mysql/server';
import { openDatabase } from '../../src/db/connection';
import { multiply } from '../copies';
import { describeEnvironment, mysqldArguments } from '../environment';
import { mysqlPid } from '../processes';
import { builtProgram } from '../service';
import { createWorld } from '../world';
import { multiplyCompany } from './bulk';
import { eachKind } from './calls';
import { perSecond, play, sourcesNeeded, unplayed } from './play';
import {
  describeResult,
  describeResults,
  resultOf,
  type Result,
  type StressResults,
} from './report';
import { scenarios, type Scenario } from './scenarios';
import { createTenant, type Stage } from './stage';
import { latencyOf, shortcomings } from './verdict';

const results = path.join(__dirname, '..', 'results');

/** The user of the database that the service alone has, with the least rights (docs/security.md). */
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

  const pid = await mysqlPid(db);
  const played: Result[] = [];
  const found: StressResults = {
    environment: await describeEnvironment(db),
    seconds,
    perSecond,
    scenarios: played,
  };
  let quiet: Result['latency'];
  for (const { scenario, plan } of ready) {
    announce(scenario.title);
    const seen = await play(stage, plan, sources, { program, mysqlPid: pid }).catch(unplayed);
    const { victim } = seen;
    quiet ??= victim && eachKind((kind) => latencyOf(victim[kind]));
    if (!quiet) throw new Error('the service does not serve, although nobody else calls');
    const result = resultOf(scenario, seen, quiet, shortcomings(seen, quiet));
    announce(describeResult(result));
    played.push(result);
    // Each time: whoever has no patience for the rest has something.
    await save(found);
  }

  process.stdout.write(`${describeResults(found)}\n`);
  await db.destroy();
  await mysql.stop();
  return played.every(({ control, shortcomings: { length } }) => control === true || length === 0);
}

/** The scenarios of the names; the quiet one is always the first. */
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

async function save(found: StressResults): Promise<void> {
  const file = path.resolve(results, `${options.save}.json`);
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(file, `${JSON.stringify(rounded(found), null, 2)}\n`);
}

/** Says what is going on, since it takes minutes. */
function announce(what: string): void {
  const time = new Date().toISOString().slice(11, 19);
  process.stderr.write(`${time} ${what}\n`);
}

/** More digits would say nothing. */
function rounded(found: StressResults): unknown {
  return JSON.parse(
    JSON.stringify(found, (_, value: unknown) =>
      typeof value === 'number' ? Number(value.toPrecision(5)) : value,
    ),
  );
}

main().then(
  (holds) => process.exit(holds ? 0 : 1),
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? (error.stack ?? '') : 'it has failed'}\n`);
    process.exit(2);
  },
);
