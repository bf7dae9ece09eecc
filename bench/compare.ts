/**
 * Measures two builds of the service in turns, on one private MySQL, and says how they compare:
 *
 *     node -r sucrase/register bench/compare.ts --dist ../other/dist [--rounds 9] [--callers 256]
 *
 * `--dist` is the build to compare with. A figure above 1 means that this build takes more than the other.
 * Processor time is steadier than rates.
 */
import path from 'node:path';
import { parseArgs } from 'node:util';
import { startMysql } from '../scripts/mysql/server';
import { openDatabase } from '../src/db/connection';
import { Bench, type Round } from './bench';
import { mysqldArguments } from './environment';
import { mysqlPid } from './processes';
import { startService, type RunningService } from './service';
import { median } from './statistics';
import { ratioOf } from './throughput';
import { createWorld, Supply } from './world';

const { values: options } = parseArgs({
  options: {
    dist: { type: 'string' },
    rounds: { type: 'string', default: '9' },
    callers: { type: 'string' },
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

async function main(dist: string, rounds: number, only: number | undefined): Promise<void> {
  delete process.env['DATABASE_URL'];
  const mysql = await startMysql({ mysqldArguments });
  const db = openDatabase({ url: mysql.url, poolSize: 4, lockWaitSeconds: 50 });
  await db.migrate.latest();
  const world = await createWorld(db, mysql.url);
  const bench = new Bench(world, await mysqlPid(db));
  const supply = await Supply.create(db, world, { kind: 'user', sources: 2_500, importing: 60 });
  const mine = await startService(world);
  const others = await startService(world, {}, path.resolve(dist, 'main.js'));

  for (const { callers, imports } of loads) {
    if (only !== undefined && callers !== only) continue;
    const runOnce = async (service: RunningService): Promise<Compared> => {
      const before = await groupsOf(service);
      const round = await bench.round('service', supply.take(imports), { callers }, service);
      const after = await groupsOf(service);
      const callsInGroup = (after.calls - before.calls) / (after.groups - before.groups);
      return { ...round, callsInGroup };
    };
    // Compilers, caches and connections get ready.
    for (const service of [mine, others]) await runOnce(service);
    const pairs: { readonly mine: Compared; readonly others: Compared }[] = [];
    for (let round = 0; round < rounds; round++) {
      // The order changes, so that neither build always runs after the other.
      const first = round % 2 === 0 ? await runOnce(mine) : undefined;
      const other = await runOnce(others);
      pairs.push({ mine: first ?? (await runOnce(mine)), others: other });
    }
    console.log(`${callers} callers`);
    for (const [name, of] of Object.entries(figures)) {
      const ratio = ratioOf(pairs.map((pair) => of(pair.mine) / of(pair.others)));
      const [least, middle, most] = [ratio.least, ratio.median, ratio.most].map((value) =>
        value.toFixed(3),
      );
      console.log(`  ${name.padEnd(18)} ${middle} (${least} to ${most})`);
    }
  }

  bench.close();
  for (const service of [mine, others]) await service.stop();
  await db.destroy();
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
