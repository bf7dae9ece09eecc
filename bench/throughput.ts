import { setTimeout as sleep } from 'node:timers/promises';
import type { Database } from '../src/db/database';
import type { SessionId } from '../src/model/ids';
import { summarise, type Bench, type Measurement, type Round } from './bench';
import { addRows, multiply } from './copies';
import type { Load } from './driver';
import type { RunningService } from './service';
import { median } from './statistics';
import type { Job } from './worker';
import { createImporting, Supply } from './world';
import type { World } from './subjects';

/** Who takes part: with how many imports a round, and how they come. */
export interface Entry {
  readonly name: string;
  readonly contestant: Job['contestant'];
  readonly callers: number;
  readonly imports: number;
  /** All imports are into one application. */
  readonly oneApplication?: boolean;
}

/** How two figures compare: the median of all rounds, and how far the rounds differ. */
export interface Ratio {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

/** Puts together how two figures compare, round by round. */
export function ratioOf(values: readonly number[]): Ratio {
  return { median: median(values), least: Math.min(...values), most: Math.max(...values) };
}

/** The measurements of the contest, and what follows from them. */
export interface Throughput {
  readonly measurements: Readonly<Record<string, Measurement>>;
  readonly ratios: Readonly<Record<string, Ratio>>;
}

const entries: readonly Entry[] = [
  { name: 'orm, 32 callers', contestant: 'orm', callers: 32, imports: 150 },
  { name: 'orm, 64 callers', contestant: 'orm', callers: 64, imports: 150 },
  { name: 'procedure, 1 caller', contestant: 'procedure', callers: 1, imports: 150 },
  { name: 'procedure, 4 callers', contestant: 'procedure', callers: 4, imports: 400 },
  { name: 'procedure, 8 callers', contestant: 'procedure', callers: 8, imports: 600 },
  { name: 'procedure, 16 callers', contestant: 'procedure', callers: 16, imports: 600 },
  { name: 'bulk', contestant: 'bulk', callers: 1, imports: 1000 },
  { name: 'service, 1 caller', contestant: 'service', callers: 1, imports: 150 },
  { name: 'service, 4 callers', contestant: 'service', callers: 4, imports: 300 },
  { name: 'service, 8 callers', contestant: 'service', callers: 8, imports: 400 },
  { name: 'service, 16 callers', contestant: 'service', callers: 16, imports: 600 },
  { name: 'service, 64 callers', contestant: 'service', callers: 64, imports: 1500 },
  { name: 'service, 256 callers', contestant: 'service', callers: 256, imports: 2000 },
  {
    name: 'service, 256 callers, one application',
    contestant: 'service',
    callers: 256,
    imports: 2000,
    oneApplication: true,
  },
];

const businessEntries: readonly Entry[] = [
  { name: 'procedure, 8 callers', contestant: 'procedure', callers: 8, imports: 200 },
  { name: 'procedure, 16 callers', contestant: 'procedure', callers: 16, imports: 200 },
  { name: 'bulk', contestant: 'bulk', callers: 1, imports: 300 },
  { name: 'service, 64 callers', contestant: 'service', callers: 64, imports: 500 },
];

/** Source sessions of a contest; no application imports one of them twice. */
const sources = 2_500;
const applications = 50;

/** After a bulk copy, MySQL is busy with it for a while; that is not the next contestant's, in milliseconds. */
const pauseAfterBulk = 1_000;

/** Lets all contestants import the same sessions, in turns. */
export async function contest(
  db: Database,
  world: World,
  bench: Bench,
  service: RunningService,
  rounds: number,
): Promise<Throughput> {
  const supply = await Supply.create(db, world, { kind: 'user', sources, importing: applications });
  const measurements = await compete(db, bench, service, entries, supply, rounds);
  return { measurements, ratios: ratiosOf(measurements, rounds) };
}

/** Lets the contestants import in turns, each once per round. */
export async function compete(
  db: Database,
  bench: Bench,
  service: RunningService,
  contestants: readonly Entry[],
  supply: Supply,
  rounds: number,
  world?: World,
): Promise<Record<string, Measurement>> {
  const runOnce = async (entry: Entry, imports: number): Promise<Round> => {
    const { contestant, callers, oneApplication } = entry;
    const from = oneApplication ? supply.for(await createImporting(db, 1)) : supply;
    const round = await bench.round(contestant, from.take(imports), { callers }, service, world);
    if (contestant === 'bulk') await sleep(pauseAfterBulk);
    return round;
  };
  // Compilers, caches and connections get ready; nobody is measured.
  for (const entry of contestants) await runOnce(entry, Math.ceil(entry.imports / 4));

  const results = new Map<string, Round[]>(contestants.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    // Nobody always comes after the same one.
    const first = (round * 5) % contestants.length;
    for (const entry of [...contestants.slice(first), ...contestants.slice(0, first)]) {
      results.get(entry.name)?.push(await runOnce(entry, entry.imports));
    }
  }
  return Object.fromEntries(
    contestants.map(({ name, contestant, callers }) => [
      name,
      summarise(contestant, { callers }, results.get(name) ?? [], supply.rows),
    ]),
  );
}

/** The ratio of two contestants' median latencies, calculated within each round. */
export function latencyRatio(
  measurements: Readonly<Record<string, Measurement>>,
  name: string,
  reference: string,
): Ratio {
  const medians = (of: string): readonly number[] => measurements[of]?.medians ?? [];
  return ratioOf(
    medians(name).map((value, round) => value / (medians(reference)[round] ?? Number.NaN)),
  );
}

/** Each ratio is taken of what was measured in the same round. */
function ratiosOf(
  measurements: Readonly<Record<string, Measurement>>,
  rounds: number,
): Record<string, Ratio> {
  const of = (name: string): Measurement => {
    const measurement = measurements[name];
    if (!measurement) throw new Error(`${name} was not measured`);
    return measurement;
  };
  const best = (...names: string[]) => {
    return (round: number): number =>
      Math.max(...names.map((name) => of(name).importsPerSecond[round] ?? Number.NaN));
  };
  const cost = (...names: string[]) => {
    return (round: number): number =>
      Math.min(...names.map((name) => of(name).costs[round] ?? Number.NaN));
  };
  const procedures = ['procedure, 8 callers', 'procedure, 16 callers'];
  const ratio = (value: (round: number) => number, reference: (round: number) => number): Ratio =>
    ratioOf(Array.from({ length: rounds }, (_, round) => value(round) / reference(round)));
  const service = best('service, 64 callers', 'service, 256 callers');
  return {
    cost_vs_procedure: ratio(cost(...procedures), cost('service, 256 callers')),
    cost_vs_procedure_16_callers: ratio(cost(...procedures), cost('service, 16 callers')),
    cost_vs_procedure_8_callers: ratio(cost(...procedures), cost('service, 8 callers')),
    cost_vs_procedure_4_callers: ratio(cost(...procedures), cost('service, 4 callers')),
    service_vs_procedure: ratio(service, best(...procedures)),
    service_vs_orm: ratio(service, best('orm, 32 callers', 'orm, 64 callers')),
    service_vs_bulk: ratio(service, best('bulk')),
    solo_latency_vs_procedure: latencyRatio(
      measurements,
      'service, 1 caller',
      'procedure, 1 caller',
    ),
    one_app_vs_many: ratio(
      best('service, 256 callers, one application'),
      best('service, 256 callers'),
    ),
  };
}

/** Calls that come when they like, at a share of the service's best rate. */
export async function openLoop(
  db: Database,
  world: World,
  bench: Bench,
  service: RunningService,
  perSecond: number,
  seconds: number,
): Promise<Measurement> {
  const imports = Math.ceil(perSecond * seconds);
  const ids = Math.min(imports, sources);
  const supply = await Supply.create(db, world, {
    kind: 'user',
    sources: ids,
    importing: Math.ceil(imports / ids) + 10,
  });
  const load: Load = { perSecond };
  const round = await bench.round('service', supply.take(imports), load, service);
  return summarise('service', load, [round], supply.rows);
}

/** The same contest over a business session of some three hundred rows. */
export async function businessContest(
  db: Database,
  world: World,
  bench: Bench,
  service: RunningService,
  rounds: number,
): Promise<Record<string, Measurement>> {
  const template = await largeBusinessSession(db, world);
  const supply = await Supply.create(db, world, {
    kind: 'business',
    sources: 400,
    importing: 20,
    template,
  });
  return compete(db, bench, service, businessEntries, supply, rounds);
}

/** The demo's company, with 60 key people and 200 log entries more. */
async function largeBusinessSession(db: Database, world: World): Promise<SessionId> {
  const [id] = await multiply(db, world, 'business', world.templates.business, 1);
  if (id === undefined) throw new Error('no session was made');
  await addRows(db, 'business_key_people', id, 60);
  await addRows(db, 'business_logs', id, 200);
  return id;
}
