/**
 * The process that makes the load: it is told what to do by its parent, makes everything ready, says
 * so, and begins when it is told to. Apart from the benchmark itself, so that its use of the processor
 * is known, and from the service, so that the two do not share an event loop.
 */
import { openDatabase } from '../src/db/connection';
import type { Database } from '../src/db/database';
import { prepareBulk } from './copies';
import { importByOrm } from './contestants/orm';
import { importByProcedure } from './contestants/procedure';
import { ServiceClient } from './contestants/service';
import { drive, type Call, type Load, type Run } from './driver';
import type { Import, World } from './subjects';

/** What the worker is to do. */
export interface Job {
  readonly contestant: 'orm' | 'procedure' | 'bulk' | 'service';
  readonly world: World;
  readonly imports: readonly Import[];
  readonly load: Load;
  /** Where the service listens. */
  readonly address: string;
}

/** What the worker says. */
export type Report =
  | { readonly type: 'ready' }
  | { readonly type: 'done'; readonly run: Run }
  | { readonly type: 'failed'; readonly error: string };

/** As many as any contestant has callers of its own; the service has its own pool. */
const poolSize = 64;

let database: { readonly url: string; readonly db: Database } | undefined;
let client: { readonly address: string; readonly calls: ServiceClient } | undefined;
let begin: (() => void) | undefined;

process.on('message', (message: Job | 'begin') => {
  if (message === 'begin') {
    begin?.();
    return;
  }
  carryOut(message).then(
    (run) => {
      send({ type: 'done', run });
    },
    (error: unknown) => {
      send({ type: 'failed', error: error instanceof Error ? error.message : 'unknown' });
    },
  );
});

async function carryOut(job: Job): Promise<Run> {
  const calls = await prepare(await databaseAt(job.world.databaseUrl), job);
  const told = new Promise<void>((resolve) => {
    begin = resolve;
  });
  send({ type: 'ready' });
  await told;
  const run = await drive(calls, job.load);
  // One call of the bulk contestant does all the imports.
  return { ...run, calls: job.imports.length };
}

async function databaseAt(url: string): Promise<Database> {
  if (database?.url !== url) {
    await database?.db.destroy();
    database = { url, db: openDatabase({ url, poolSize, lockWaitSeconds: 50 }) };
  }
  return database.db;
}

async function prepare(db: Database, job: Job): Promise<Call[]> {
  const { world, imports } = job;
  switch (job.contestant) {
    case 'orm':
      return imports.map((entry) => () => importByOrm(db, entry));
    case 'procedure':
      return imports.map((entry) => () => importByProcedure(db, entry));
    case 'bulk':
      return [await prepareBulk(db, world, imports)];
    case 'service':
      return clientOf(job.address).prepare(world, imports);
  }
}

function clientOf(address: string): ServiceClient {
  if (client?.address !== address) {
    client?.calls.close();
    client = { address, calls: new ServiceClient(address) };
  }
  return client.calls;
}

function send(report: Report): void {
  process.send?.(report);
}
