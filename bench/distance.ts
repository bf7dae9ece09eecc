import { createConnection } from 'mysql2/promise';
import type { Database } from '../src/db/database';
import type { Bench, Measurement } from './bench';
import { startRelay } from './relay';
import { startService } from './service';
import { median } from './statistics';
import { compete, latencyRatio, type Entry, type Ratio } from './throughput';
import { Supply } from './world';
import type { World } from './subjects';

/** Measurements of the procedure and the service, with the same network between each of them and MySQL. */
export interface Distance {
  /** The time that the network should add to a round trip, in milliseconds. */
  readonly milliseconds: number;
  /** The measured time of a whole round trip, in milliseconds. On a busy machine, timers are late. */
  readonly roundTrip: number;
  readonly measurements: Readonly<Record<string, Measurement>>;
  /** The latency of one caller of the service, divided by that of the procedure. */
  readonly soloLatency: Ratio;
}

const solo: readonly Entry[] = [
  { name: 'procedure, 1 caller', contestant: 'procedure', callers: 1, imports: 100 },
  { name: 'service, 1 caller', contestant: 'service', callers: 1, imports: 100 },
];

const crowds: readonly Entry[] = [
  { name: 'procedure, 8 callers', contestant: 'procedure', callers: 8, imports: 400 },
  { name: 'procedure, 256 callers', contestant: 'procedure', callers: 256, imports: 1_000 },
  { name: 'service, 8 callers', contestant: 'service', callers: 8, imports: 400 },
  { name: 'service, 256 callers', contestant: 'service', callers: 256, imports: 1_000 },
];

/** The median time of a statement that does nothing, in milliseconds. */
async function roundTripTo(url: string): Promise<number> {
  const connection = await createConnection(url);
  const times: number[] = [];
  for (let trip = 0; trip < 100; trip++) {
    const startedAt = performance.now();
    await connection.query('DO 0');
    times.push(performance.now() - startedAt);
  }
  await connection.end();
  return median(times);
}

/** Repeats the contest with a network between MySQL and its clients. */
export async function fromAfar(
  db: Database,
  world: World,
  bench: Bench,
  milliseconds: number,
  options: { readonly rounds: number; readonly crowds: boolean },
): Promise<Distance> {
  const relay = await startRelay(world.databaseUrl, milliseconds);
  const far: World = { ...world, databaseUrl: relay.url };
  const service = await startService(far);
  const roundTrip = await roundTripTo(relay.url);
  const supply = await Supply.create(db, world, { kind: 'user', sources: 1_200, importing: 50 });
  const entries = options.crowds ? [...solo, ...crowds] : solo;
  const measurements = await compete(db, bench, service, entries, supply, options.rounds, far);
  await service.stop();
  relay.stop();
  return {
    milliseconds,
    roundTrip,
    measurements,
    soloLatency: latencyRatio(measurements, 'service, 1 caller', 'procedure, 1 caller'),
  };
}
