import type { Database } from '../src/db/database';
import { summarise, type Bench, type Measurement, type Round } from './bench';
import { startService, type RunningService } from './service';
import { ratioOf, type Ratio } from './throughput';
import { Supply } from './world';
import type { World } from './subjects';

/** What it costs to count, to log and to be asked. */
export interface Watching {
  readonly measurements: Readonly<Record<string, Measurement>>;
  readonly ratio: Ratio;
}

/** How often the metrics are read: far more often than Prometheus does by default, in milliseconds. */
const scrapeInterval = 1_000;

const callers = 256;
const imports = 2_000;

/**
 * Lets the service import as it does by default (metrics on and read, a log line per call, traces off),
 * and with metrics and logs off, in turns.
 */
export async function watchedAndUnwatched(
  db: Database,
  world: World,
  bench: Bench,
  watched: RunningService,
  rounds: number,
): Promise<Watching> {
  const unwatched = await startService(world, { METRICS_ADDRESS: 'off', LOG_LEVEL: 'silent' });
  const supply = await Supply.create(db, world, {
    kind: 'user',
    sources: imports,
    importing: rounds * 2 + 2,
  });
  const runOnce = (service: RunningService): Promise<Round> =>
    bench.round('service', supply.take(imports), { callers }, service);
  const scraping = setInterval(() => {
    void fetch(watched.metrics).then((response) => response.text());
  }, scrapeInterval);

  const results = { watched: [] as Round[], unwatched: [] as Round[] };
  for (let round = -1; round < rounds; round++) {
    // Who goes first, changes.
    const order = round % 2 === 0 ? [watched, unwatched] : [unwatched, watched];
    for (const service of order) {
      const done = await runOnce(service);
      // In the round before the first, compilers and caches get ready.
      if (round >= 0) results[service === watched ? 'watched' : 'unwatched'].push(done);
    }
  }
  clearInterval(scraping);
  await unwatched.stop();

  const measurementOf = (done: readonly Round[]): Measurement =>
    summarise('service', { callers }, done, supply.rows);
  const [seen, unseen] = [measurementOf(results.watched), measurementOf(results.unwatched)];
  return {
    measurements: { 'service, watched': seen, 'service, metrics and logs off': unseen },
    ratio: ratioOf(
      seen.importsPerSecond.map((rate, round) => rate / (unseen.importsPerSecond[round] ?? 0)),
    ),
  };
}
