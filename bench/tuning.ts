import { jwtVerify } from 'jose';
import type { Database } from '../src/db/database';
import { newId } from '../src/model/ids';
import { parseKeySet } from '../src/token/key-set';
import { algorithms, type Algorithm } from '../src/token/share-token';
import { generateSigningKey, signShareToken } from '../src/token/signing';
import { rate, summarise, type Bench, type Round } from './bench';
import { startService } from './service';
import { Supply } from './world';
import type { World } from './subjects';

/** The rate under one setting of the service. */
export interface Tuning {
  readonly workers: number;
  readonly groupSize: number;
  readonly importsPerSecond: number;
  readonly p99: number;
}

const settings = [
  { workers: 2, groupSize: 1 },
  { workers: 2, groupSize: 8 },
  { workers: 2, groupSize: 16 },
  { workers: 2, groupSize: 32 },
  { workers: 2, groupSize: 64 },
  { workers: 2, groupSize: 128 },
  { workers: 1, groupSize: 64 },
  { workers: 3, groupSize: 64 },
  { workers: 4, groupSize: 64 },
];

/** Tries settings other than the defaults, with 256 callers, in turns. */
export async function tune(
  db: Database,
  world: World,
  bench: Bench,
  rounds: number,
): Promise<Tuning[]> {
  const supply = await Supply.create(db, world, { kind: 'user', sources: 2_500, importing: 30 });
  const load = { callers: 256 };
  const contestants = [];
  for (const setting of settings) {
    const service = await startService(world, {
      IMPORT_WORKERS: String(setting.workers),
      IMPORT_GROUP_SIZE: String(setting.groupSize),
      // As many as the calls alone would make.
      IMPORT_GROUP_ROWS: '100000',
    });
    await bench.round('service', supply.take(500), load, service);
    contestants.push({ setting, service, rounds: [] as Round[] });
  }
  for (let round = 0; round < rounds; round++) {
    for (const { service, rounds: measured } of contestants) {
      measured.push(await bench.round('service', supply.take(1_500), load, service));
    }
  }
  const results = contestants.map(({ setting, rounds: measured }) => {
    const measurement = summarise('service', load, measured, supply.rows);
    return {
      ...setting,
      importsPerSecond: rate(measurement),
      p99: measurement.latency.p99,
    };
  });
  for (const { service } of contestants) await service.stop();
  return results;
}

/** What verifying the signature of a share token takes. */
export interface Verification {
  readonly algorithm: Algorithm;
  /** Processor time, in microseconds. */
  readonly microseconds: number;
}

/** Verifies tokens of every algorithm, as the service does. */
export async function compareAlgorithms(): Promise<Verification[]> {
  const results: Verification[] = [];
  for (const algorithm of algorithms) {
    const key = await generateSigningKey({ algorithm, kid: undefined, applicationId: undefined });
    const token = await signShareToken(key.privateJwk, {
      sessionId: newId(),
      kind: 'user',
      fromApplicationId: newId(),
      forApplicationId: newId(),
      lifetime: 3_600,
    });
    const set = await parseKeySet({ keys: [key.verificationJwk] }, { symmetric: true });
    const [verification] = set.keys.values();
    if (!verification) throw new Error('the key can not be used');
    const verifySome = async (count: number): Promise<void> => {
      for (let done = 0; done < count; done += 50) {
        await Promise.all(Array.from({ length: 50 }, () => jwtVerify(token, verification.key)));
      }
    };
    await verifySome(500);
    const before = process.cpuUsage();
    await verifySome(3_000);
    const { user, system } = process.cpuUsage(before);
    results.push({ algorithm, microseconds: (user + system) / 3_000 });
  }
  return results;
}
