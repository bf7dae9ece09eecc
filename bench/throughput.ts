import type { Database } from '../src/db/connection';
import { addRows, multiply } from './copies';
import { rate, summarise, type Bench, type Measurement, type Round } from './bench';
import type { Load } from './driver';
import type { RunningService } from './service';
import type { Job } from './worker';
import { createImporting, Supply, type World } from './world';

/** Who takes part: with how many imports a round, and how they come. */
interface Entry {
  readonly name: string;
  readonly contestant: Job['contestant'];
  readonly callers: number;
  readonly imports: number;
  /** All imports are into one application. */
  readonly oneApplication?: boolean;
}

/** The measurements of the contest, and what follows from them. */
export interface Throughput {
  readonly measurements: Readonly<Record<string, Measurement>>;
  readonly ratios: Readonly<Record<string, number>>;
}

const entries: readonly Entry[] = [
  { name: 'orm, 8 callers', contestant: 'orm', callers: 8, imports: 150 },
  { name: 'orm, 32 callers', contestant: 'orm', callers: 32, imports: 150 },
  { name: 'procedure, 1 caller', contestant: 'procedure', callers: 1, imports: 150 },
  { name: 'procedure, 8 callers', contestant: 'procedure', callers: 8, imports: 800 },
  { name: 'procedure, 32 callers', contestant: 'procedure', callers: 32, imports: 600 },
  { name: 'bulk', contestant: 'bulk', callers: 1, imports: 1000 },
  { name: 'service, 1 caller', contestant: 'service', callers: 1, imports: 150 },
  { name: 'service, 8 callers', contestant: 'service', callers: 8, imports: 400 },
  { name: 'service, 64 callers', contestant: 'service', callers: 64, imports: 2000 },
  { name: 'service, 256 callers', contestant: 'service', callers: 256, imports: 2500 },
  {
    name: 'service, 256 callers, one application',
    contestant: 'service',
    callers: 256,
    imports: 2500,
    oneApplication: true,
  },
];

/** Source sessions of a contest; no application imports one of them twice. */
const sources = 2_500;
const applications = 50;

/** Lets all contestants import the same sessions, in turns. */
export async function contest(
  db: Database,
  world: World,
  bench: Bench,
  service: RunningService,
  rounds: number,
): Promise<Throughput> {
  const supply = await Supply.create(db, world, { kind: 'user', sources, importing: applications });
  await warmUp(bench, service, supply);
  const results = new Map<string, Round[]>(entries.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const { name, contestant, callers, imports, oneApplication } of entries) {
      const from = oneApplication ? supply.for(await createImporting(db, 1)) : supply;
      const taken = from.take(imports);
      results.get(name)?.push(await bench.round(contestant, taken, { callers }, service));
    }
  }
  const measurements = Object.fromEntries(
    entries.map(({ name, contestant, callers }) => [
      name,
      summarise(contestant, { callers }, results.get(name) ?? [], supply.rows),
    ]),
  );
  return { measurements, ratios: ratiosOf(measurements) };
}

/** Compilers and caches get ready; nobody is measured. */
async function warmUp(bench: Bench, service: RunningService, supply: Supply): Promise<void> {
  await bench.round('orm', supply.take(50), { callers: 8 });
  await bench.round('procedure', supply.take(200), { callers: 8 });
  await bench.round('service', supply.take(2_000), { callers: 64 }, service);
}

function ratiosOf(measurements: Readonly<Record<string, Measurement>>): Record<string, number> {
  const of = (name: string): Measurement => {
    const measurement = measurements[name];
    if (!measurement) throw new Error(`${name} was not measured`);
    return measurement;
  };
  const best = (...names: string[]): number => Math.max(...names.map((name) => rate(of(name))));
  const service = best('service, 64 callers', 'service, 256 callers');
  return {
    service_vs_procedure: service / best('procedure, 8 callers', 'procedure, 32 callers'),
    service_vs_orm: service / best('orm, 8 callers', 'orm, 32 callers'),
    service_vs_bulk: service / best('bulk'),
    solo_latency_vs_procedure:
      of('service, 1 caller').latency.p50 / of('procedure, 1 caller').latency.p50,
    one_app_vs_many: best('service, 256 callers, one application') / best('service, 256 callers'),
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
  const contestants = [
    { name: 'procedure, 8 callers', contestant: 'procedure', callers: 8, imports: 200 },
    { name: 'bulk', contestant: 'bulk', callers: 1, imports: 300 },
    { name: 'service, 64 callers', contestant: 'service', callers: 64, imports: 500 },
  ] as const;
  const results = new Map<string, Round[]>(contestants.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const { name, contestant, callers, imports } of contestants) {
      const taken = supply.take(imports);
      results.get(name)?.push(await bench.round(contestant, taken, { callers }, service));
    }
  }
  return Object.fromEntries(
    contestants.map(({ name, contestant, callers }) => [
      name,
      summarise(contestant, { callers }, results.get(name) ?? [], supply.rows),
    ]),
  );
}

/** The demo's company, with 60 key people and 200 log entries more. */
async function largeBusinessSession(db: Database, world: World) {
  const [id] = await multiply(db, world, 'business', world.templates.business, 1);
  if (id === undefined) throw new Error('no session was made');
  await addRows(db, 'business_key_people', id, 60);
  await addRows(db, 'business_logs', id, 200);
  return id;
}
