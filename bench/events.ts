/**
 * Measures how long an event takes: from the answer to an import until a stream of the importing application has it.
 *
 *     node -r sucrase/register bench/events.ts
 *
 * It writes bench/results/events.json.
 */
import { credentials, Metadata } from '@grpc/grpc-js';
import { startMysql } from '../scripts/mysql/server';
import { openDatabase } from '../src/db/connection';
import { migrateUp } from '../src/db/migrate';
import {
  SessionEventsClient,
  WatchEventsRequest,
  type WatchEventsResponse,
} from '../src/gen/sessionimport/v1/session_events';
import { ServiceClient } from './contestants/service';
import { drive, type Load } from './driver';
import { describeEnvironment, mysqldArguments } from './environment';
import { saveResults } from './save';
import { startService } from './service';
import { quantile } from './statistics';
import type { Import } from './subjects';
import { createImporting, createWorld, Supply } from './world';

const loads: readonly { readonly load: Load; readonly imports: number }[] = [
  { load: { perSecond: 20 }, imports: 400 },
  { load: { callers: 64 }, imports: 4_000 },
];

async function main(): Promise<void> {
  delete process.env['DATABASE_URL'];
  const mysql = await startMysql({ mysqldArguments });
  const db = openDatabase({ url: mysql.url, poolSize: 8, lockWaitSeconds: 50 });
  await migrateUp(db);
  const world = await createWorld(db, mysql.url);
  const service = await startService(world);
  const privileges = ['write:sessions', 'read:session-events'] as const;
  const importing = await createImporting(db, 8, privileges);
  const made = await Supply.create(db, world, { kind: 'user', sources: 700, importing: 1 });
  const supply = made.for(importing);
  const client = new ServiceClient(service.address);
  const events = new SessionEventsClient(service.address, credentials.createInsecure());

  const arrived = new Map<string, number>();
  let news = (): void => undefined;
  for (const { apiKey, applicationId } of importing) {
    const metadata = new Metadata();
    metadata.set('x-api-key', apiKey);
    events
      .watchEvents(WatchEventsRequest.fromPartial({}), metadata)
      .on('data', ({ event }: WatchEventsResponse) => {
        arrived.set(`${applicationId}/${event?.sharedFromSession ?? ''}`, performance.now());
        news();
      })
      .on('error', () => undefined);
  }
  const keyOf = ({ importing: { applicationId }, source }: Import): string =>
    `${applicationId}/${source}`;

  /** The delays of some imports, in milliseconds. */
  const delays = async (imports: readonly Import[], load: Load): Promise<number[]> => {
    const answered = new Map<string, number>();
    const calls = (await client.prepare(world, imports)).map((call, index) => async () => {
      await call();
      const each = imports[index];
      if (each) answered.set(keyOf(each), performance.now());
    });
    await drive(calls, load);
    await new Promise<void>((resolve) => {
      news = () => {
        if ([...answered.keys()].every((key) => arrived.has(key))) resolve();
      };
      news();
    });
    return [...answered].map(([key, at]) => (arrived.get(key) ?? Number.NaN) - at);
  };

  const results = [];
  for (const { load, imports } of loads) {
    const found = await delays(supply.take(imports), load);
    const ms = (share: number): number => Math.round(quantile(found, share));
    results.push({ load, imports, p50: ms(0.5), p99: ms(0.99), most: ms(1) });
    process.stdout.write(`${JSON.stringify(results.at(-1))}\n`);
  }
  await saveResults('events', {
    environment: await describeEnvironment(db),
    milliseconds: results,
  });
  client.close();
  events.close();
  await service.stop();
  await db.destroy();
  await mysql.stop();
}

main().catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});
