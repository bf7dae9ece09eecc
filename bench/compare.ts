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

/** What is compared. Less is better. */
const figures: Readonly<Record<string, (round: Round) => number>> = {
  'service and MySQL': ({ cpu }) => cpu.service + cpu.mysql,
  service: ({ cpu }) => cpu.service,
  MySQL: ({ cpu }) => cpu.mysql,
  p50: ({ run }) => median(run.latencies),
  'time for all': ({ run }) => run.seconds,
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
    const runOnce = (service: RunningService): Promise<Round> =>
      bench.round('service', supply.take(imports), { callers }, service);
    // Compilers, caches and connections get ready.
    for (const service of [mine, others]) await runOnce(service);
    const pairs: { readonly mine: Round; readonly others: Round }[] = [];
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

if (options.dist === undefined) throw new Error('--dist must name the build to compare with');
void main(
  options.dist,
  Number(options.rounds),
  options.callers === undefined ? undefined : Number(options.callers),
);
