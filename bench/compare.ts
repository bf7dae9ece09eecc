/**
 * Measures two builds of the service, or one build on two versions of Node.js, in turns, on one private MySQL. It says
 * how they compare:
 *
 *     node -r sucrase/register bench/compare.ts --dist ../other/dist [--node /opt/node24/bin/node]
 *       [--rounds 9] [--callers 256] [--save events]
 *
 * `--dist` is the build to compare with, and `--node` the Node.js that runs it: by default the one that runs this. A
 * figure above 1 means that this side takes more than the other. Processor time is steadier than rates. Each build has
 * a database of its own, which it has migrated itself, so they can be of different schemas. `--save` writes
 * bench/results/compare-NAME.json, with the figures of every round.
 */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { startMysql } from '../scripts/mysql/server';
import { openDatabase } from '../src/db/connection';
import { Bench, type Round } from './bench';
import { createDatabase } from './databases';
import { describeEnvironment, mysqldArguments } from './environment';
import { mysqlPid } from './processes';
import { saveResults } from './save';
import { builtProgram, startService, type RunningService } from './service';
import { median, quantile } from './statistics';
import { createWorld, Supply } from './world';

const { values: options } = parseArgs({
  options: {
    dist: { type: 'string' },
    node: { type: 'string', default: process.execPath },
    rounds: { type: 'string', default: '9' },
    callers: { type: 'string' },
    save: { type: 'string' },
  },
});

/** How many callers there are at the same time, and how many imports in a round. */
const loads = [
  { callers: 1, imports: 200 },
  { callers: 8, imports: 500 },
  { callers: 256, imports: 2_000 },
];

/** A round, and how many calls its groups had on average. */
interface Compared extends Round {
  readonly callsInGroup: number;
}

/** What is compared. Less is better, except for the size of groups. */
const figures: Readonly<Record<string, (round: Compared) => number>> = {
  'service and MySQL': ({ cpu }) => cpu.service + cpu.mysql,
  service: ({ cpu }) => cpu.service,
  MySQL: ({ cpu }) => cpu.mysql,
  p50: ({ run }) => median(run.latencies),
  'time for all': ({ run }) => run.seconds,
  'calls in a group': ({ callsInGroup }) => callsInGroup,
};

/** A build that runs. */
interface Side {
  readonly service: RunningService;
  readonly bench: Bench;
  readonly supply: Supply;
  readonly close: () => Promise<void>;
}

const run = promisify(execFile);

/** Starts a build on a database of its own. */
async function startSide(
  mysqlUrl: string,
  name: string,
  { program, node }: { readonly program: string; readonly node: string },
): Promise<Side> {
  const url = await createDatabase(mysqlUrl, name);
  const env = { PATH: process.env['PATH'], DATABASE_URL: url };
  await run(process.execPath, [program, 'migrate'], { env });
  const db = openDatabase({ url, poolSize: 4, lockWaitSeconds: 50 });
  const world = await createWorld(db, url);
  const bench = new Bench(world, await mysqlPid(db));
  const supply = await Supply.create(db, world, { kind: 'user', sources: 2_500, importing: 60 });
  const service = await startService(world, {}, program, node);
  const close = async () => {
    bench.close();
    await service.stop();
    await db.destroy();
  };
  return { service, bench, supply, close };
}

async function runOnce(
  { service, bench, supply }: Side,
  callers: number,
  imports: number,
): Promise<Compared> {
  const before = await groupsOf(service);
  const round = await bench.round('service', supply.take(imports), { callers }, service);
  const after = await groupsOf(service);
  const callsInGroup = (after.calls - before.calls) / (after.groups - before.groups);
  return { ...round, callsInGroup };
}

async function main(dist: string, rounds: number, only: number | undefined): Promise<void> {
  delete process.env['DATABASE_URL'];
  const mysql = await startMysql({ mysqldArguments });
  const admin = openDatabase({ url: mysql.url, poolSize: 1, lockWaitSeconds: 50 });
  const mine = await startSide(mysql.url, 'mine', {
    program: builtProgram,
    node: process.execPath,
  });
  const others = await startSide(mysql.url, 'others', {
    program: path.resolve(dist, 'main.js'),
    node: options.node,
  });
  const found: object[] = [];

  for (const { callers, imports } of loads) {
    if (only !== undefined && callers !== only) continue;
    // Compilers, caches and connections get ready.
    for (const side of [mine, others]) await runOnce(side, callers, imports);
    const pairs: { readonly mine: Compared; readonly others: Compared }[] = [];
    for (let round = 0; round < rounds; round++) {
      // The order changes, so that neither build always runs after the other.
      const first = round % 2 === 0 ? await runOnce(mine, callers, imports) : undefined;
      const other = await runOnce(others, callers, imports);
      pairs.push({ mine: first ?? (await runOnce(mine, callers, imports)), others: other });
    }
    console.log(`${callers} callers: median of the rounds' ratios (the middle half; this, other)`);
    for (const [name, of] of Object.entries(figures)) {
      const each = pairs.map((pair) => ({ mine: of(pair.mine), others: of(pair.others) }));
      const ratios = each.map((pair) => pair.mine / pair.others);
      const [lower, middle, upper] = [0.25, 0.5, 0.75].map((share) =>
        quantile(ratios, share).toFixed(3),
      );
      const [here, there] = (['mine', 'others'] as const).map((side) =>
        median(each.map((pair) => pair[side])).toPrecision(3),
      );
      console.log(`  ${name.padEnd(18)} ${middle} (${lower} to ${upper}; ${here}, ${there})`);
      found.push({ callers, imports, figure: name, rounds: each });
    }
  }

  if (options.save !== undefined) {
    const environment = await describeEnvironment(admin);
    const { stdout } = await run(options.node, ['--version']);
    const othersNode = stdout.trim();
    await saveResults(`compare-${options.save}`, { environment, othersNode, found });
  }
  for (const side of [mine, others]) await side.close();
  await admin.destroy();
  await mysql.stop();
}

/** How many groups a service has imported since it started, and how many calls they had in all. */
async function groupsOf(
  service: RunningService,
): Promise<{ readonly groups: number; readonly calls: number }> {
  const metrics = await (await fetch(service.metrics)).text();
  const total = (name: string): number => {
    const lines = metrics.matchAll(
      new RegExp(`^session_import_group_calls_${name}\\S* (\\S+)$`, 'gm'),
    );
    return [...lines].reduce((sum, [, value]) => sum + Number(value), 0);
  };
  return { groups: total('count'), calls: total('sum') };
}

if (options.dist === undefined) throw new Error('--dist must name the build to compare with');
void main(
  options.dist,
  Number(options.rounds),
  options.callers === undefined ? undefined : Number(options.callers),
);
