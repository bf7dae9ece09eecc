import path from 'node:path';
import { credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import {
  SessionReadClient,
  SessionShareClient,
  SessionTraceClient,
  type ClientMethod,
  type Partly,
} from '../src/client/clients';
import type { Database } from '../src/db/database';
import { write } from '../src/db/query';
import { toBinary, type SessionId } from '../src/model/ids';
import { SessionKind } from '../src/gen/sessionimport/v1/session_import';
import { ImportDirection } from '../src/gen/sessionimport/v1/session_trace';
import { must } from '../src/model/must';
import { writePrivateKey } from '../src/token/key-files';
import { createApiKey, createApplication } from '../src/store/accounts';
import { addRows, multiply } from './copies';
import { cpuSeconds } from './processes';
import { startService, type RunningService } from './service';
import { median } from './statistics';
import type { World } from './subjects';
import { createWorld } from './world';

/** What one method costs, with so many sessions, imports and share tokens of the application stored. */
export interface CallCost {
  readonly method: string;
  readonly stored: number;
  /** Milliseconds of processor time for each call, of the service and MySQL: the median of the rounds. */
  readonly cost: number;
  /** Milliseconds from call to answer: the median. */
  readonly milliseconds: number;
}

const callers = 8;
const callsOfRound = 120;

/** The sessions that calls name. They have the rows of the demo's session, and more log entries. */
const namedSessions = 200;
const logEntries = 200;

/** A call of a method: what it takes is known when it is made. */
type Call = (index: number) => Promise<unknown>;

/** Makes every kind of call but imports on a small and a large database of one server, in turns. */
export async function scaleCalls(
  makeDatabase: (name: string) => Promise<{ readonly db: Database; readonly url: string }>,
  mysqlPid: number,
  sizes: readonly number[],
  rounds: number,
): Promise<CallCost[]> {
  const subjects = [];
  for (const stored of sizes) {
    const { db, url } = await makeDatabase(`bench_calls_${stored}`);
    const world = await createWorld(db, url);
    await fill(db, world, stored);
    const signingKey = path.join(path.dirname(world.jwks), 'signing-key.json');
    await writePrivateKey(signingKey, world.signingKey);
    const service = await startService(world, { SHARE_TOKEN_SIGNING_KEY: signingKey });
    subjects.push({ stored, db, service, calls: await prepareCalls(db, world, service) });
  }
  const results: CallCost[] = [];
  const [{ calls: firsts }] = subjects as [(typeof subjects)[number]];
  for (const method of firsts.keys()) {
    const measured = subjects.map((subject) => ({
      ...subject,
      costs: [] as number[],
      waits: [] as number[],
    }));
    for (let round = -1; round < rounds; round++) {
      for (const { service, calls, costs, waits } of measured) {
        const call = must(calls.get(method), 'a method of every database');
        const before = cpuSeconds(service.pid) + cpuSeconds(mysqlPid);
        const latencies = await make(call);
        const used = cpuSeconds(service.pid) + cpuSeconds(mysqlPid) - before;
        // The first round warms up.
        if (round < 0) continue;
        costs.push((used / callsOfRound) * 1_000);
        waits.push(median(latencies));
      }
    }
    for (const { stored, costs, waits } of measured) {
      results.push({ method, stored, cost: median(costs), milliseconds: median(waits) });
    }
  }
  for (const { db, service } of subjects) {
    await service.stop();
    await db.destroy();
  }
  return results;
}

/** Makes the calls of a round. Returns how long each took, in milliseconds. */
async function make(call: Call): Promise<number[]> {
  const latencies: number[] = [];
  let next = 0;
  const caller = async (): Promise<void> => {
    while (next < callsOfRound) {
      const started = performance.now();
      await call(next++);
      latencies.push(performance.now() - started);
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
  return latencies;
}

/** The calls by method, made by the application that has everything. */
async function prepareCalls(
  db: Database,
  world: World,
  { address }: RunningService,
): Promise<ReadonlyMap<string, Call>> {
  const { apiKey } = await createApiKey(db, {
    applicationId: world.source,
    name: 'bench',
    privileges: ['read:sessions', 'read:session-imports', 'write:session-shares'],
    expiresAt: null,
  });
  const recipient = await createApplication(db, 'recipient');
  const metadata = new Metadata();
  metadata.set('x-api-key', apiKey);
  const channel = [address, credentials.createInsecure()] as const;
  const reads = new SessionReadClient(...channel);
  const shares = new SessionShareClient(...channel);
  const traces = new SessionTraceClient(...channel);
  const send = <Request, Response>(
    client: object,
    method: ClientMethod<Request, Response>,
    request: Partly<Request>,
  ): Promise<Response> =>
    new Promise((resolve, reject) => {
      method.call(
        client,
        request,
        metadata,
        {},
        (error: ServiceError | null, response: Response) => {
          if (error) reject(error);
          else resolve(response);
        },
      );
    });

  const template = must(
    (await multiply(db, world, 'user', world.templates.user, 1))[0],
    'a template',
  );
  await addRows(db, 'user_logs', template, logEntries);
  const sessions = await multiply(db, world, 'user', template, namedSessions);
  const sessionAt = (index: number): SessionId =>
    must(sessions[index % sessions.length], 'a session');
  const tokens: string[] = [];
  return new Map<string, Call>([
    ['GetSession', (index) => send(reads, reads.getSession, { sessionId: sessionAt(index) })],
    [
      'ListSessionRows',
      (index) =>
        send(reads, reads.listSessionRows, {
          sessionId: sessionAt(index),
          relation: 'logs',
          pageSize: 50,
        }),
    ],
    [
      'ListSessions',
      () =>
        send(reads, reads.listSessions, {
          sessionKind: SessionKind.SESSION_KIND_USER,
          pageSize: 50,
        }),
    ],
    [
      'ListSessions of one customer',
      (index) =>
        send(reads, reads.listSessions, {
          sessionKind: SessionKind.SESSION_KIND_USER,
          pageSize: 50,
          vendorData: `source ${firstStored + index}`,
        }),
    ],
    [
      'ListImports',
      () =>
        send(traces, traces.listImports, {
          direction: ImportDirection.IMPORT_DIRECTION_INCOMING,
          pageSize: 50,
        }),
    ],
    [
      'ShareSession',
      async (index) => {
        const request = { sessionId: sessionAt(index), forApplicationId: recipient };
        const { details } = await send(shares, shares.shareSession, request);
        tokens.push(must(details, 'the details of a share token').shareTokenId);
      },
    ],
    [
      'RevokeShareToken',
      () => {
        const value = must(tokens.pop(), 'a share token that was made');
        return send(shares, shares.revokeShareToken, { target: { $case: 'shareTokenId', value } });
      },
    ],
  ]);
}

/** The number of the first session that is stored: those of the demo have lower ones. */
const firstStored = 1_000;

/** Rows are made by so many in a statement. */
const batch = 100_000;

/** Numbers from one on, as a table that is called `numbers` with the column `n`. */
const numbers = `WITH RECURSIVE numbers (n) AS (SELECT ? UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)
  SELECT /*+ SET_VAR(cte_max_recursion_depth = ${batch}) */`;

/** A unique id: a marker of the table, and the number. */
const numbered = (marker: string): string => `UNHEX(CONCAT('${marker}', LPAD(HEX(n), 31, '0')))`;

const moment = `TIMESTAMPADD(SECOND, n, '2025-01-01')`;

/** Gives the sharing application so many sessions, imports and share tokens that no call names. */
async function fill(db: Database, world: World, count: number): Promise<void> {
  const source = toBinary(world.source);
  const other = toBinary(await createApplication(db, 'other'));
  const workflow = toBinary(world.sourceWorkflows.user);
  const end = firstStored + count;
  for (let first = firstStored; first < end; first += batch) {
    const range = [first, Math.min(first + batch, end) - 1];
    await write(db, {
      sql: `INSERT INTO user_sessions (id, application_id, session_number, session_token, status,
              workflow_id, workflow_version, vendor_data, created_at, updated_at)
            ${numbers} ${numbered('0')}, ?, n, CONCAT('bench', n), 'Approved', ?, 1,
              CONCAT('source ', n), ${moment}, ${moment} FROM numbers`,
      bindings: [...range, source, workflow],
    });
    await write(db, {
      sql: `INSERT INTO session_imports (application_id, source_session_id, source_application_id,
              session_kind, source_status, session_id, trust_review, api_key_id, token_digest, created_at)
            ${numbers} ?, ${numbered('8')}, ?, 'user', 'Approved', ${numbered('9')}, TRUE, ?,
              UNHEX(SHA2(n, 256)), ${moment} FROM numbers`,
      bindings: [...range, source, other, other],
    });
    await write(db, {
      sql: `INSERT INTO share_tokens (id, application_id, session_id, session_kind, for_application_id,
              linked_sessions, created_at, expires_at)
            ${numbers} ${numbered('7')}, ?, ${numbered('0')}, 'user', ?, FALSE, ${moment}, ${moment}
            FROM numbers`,
      bindings: [...range, source, other],
    });
  }
  await db.raw('ANALYZE TABLE user_sessions, session_imports, share_tokens');
}
