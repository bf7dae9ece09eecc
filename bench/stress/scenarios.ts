import { gzipSync } from 'node:zlib';
import { createConnection } from 'mysql2/promise';
import {
  GetSessionRequest,
  ListSessionRowsRequest,
  ListSessionsRequest,
} from '../../src/gen/sessionimport/v1/session_read';
import { RevokeShareTokenRequest } from '../../src/gen/sessionimport/v1/session_share';
import { ListImportsRequest } from '../../src/gen/sessionimport/v1/session_trace';
import { ImportSessionRequest } from '../../src/gen/sessionimport/v1/session_import';
import { newId, toBinary, type SessionId } from '../../src/model/ids';
import { multiply } from '../copies';
import { Supply } from '../world';
import { framed, type Attack, type CallFlood } from './attacks';
import { companiesWithPeople, fillLedger, hugeTemplate } from './bulk';
import { createOwn, importRequest, recordShareTokens, type Stage } from './stage';

/** Something that others do to the service. */
export interface Scenario {
  /** Its name on the command line. */
  readonly name: string;
  /** What is done, for the table. */
  readonly title: string;
  /** Set if nobody else calls: all other scenarios are compared with it. */
  readonly quiet?: true;
  /** Set if nobody attacks: it shows what the machine does by itself, and the verdict leaves it out. */
  readonly control?: true;
  /** Makes the data that it needs. All scenarios are prepared before the first one is played. */
  prepare(stage: Stage): Promise<Plan>;
}

/** A scenario that is ready. */
export interface Plan {
  /** One process for each. */
  readonly attacks: readonly Attack[];
  /** Holds something before the attacks begin, such as a lock, and returns a function that releases it. */
  readonly hold?: () => Promise<() => Promise<void>>;
}

const paths = {
  import: '/sessionimport.v1.SessionImport/ImportSession',
  getSession: '/sessionimport.v1.SessionRead/GetSession',
  listRows: '/sessionimport.v1.SessionRead/ListSessionRows',
  listSessions: '/sessionimport.v1.SessionRead/ListSessions',
  listImports: '/sessionimport.v1.SessionTrace/ListImports',
  revoke: '/sessionimport.v1.SessionShare/RevokeShareToken',
  reflection: '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
} as const;

const listSessions = framed(ListSessionsRequest.encode(ListSessionsRequest.create({})).finish());

/** A ServerReflectionRequest with file_containing_symbol (field 4): asks for a file and all its imports. */
const reflectionRequest = ((symbol: string) =>
  framed(Buffer.concat([Buffer.from([0x22, symbol.length]), Buffer.from(symbol)])))(
  'sessionimport.v1.SessionRead',
);

const manyMessages = Buffer.concat(Array.from({ length: 13_000 }, () => framed(new Uint8Array())));

/** Fields that no method has, with the number 15 and an empty value. */
const manyFields = Buffer.concat(Array.from({ length: 32_000 }, () => Buffer.from([0x7a, 0])));

/** A request that is nearly as large as the service allows. */
const largeRequest = framed(
  ImportSessionRequest.encode(
    ImportSessionRequest.create({ shareToken: 'x'.repeat(60_000) }),
  ).finish(),
);

/** How many imports a flood can make in a second. If it makes more, it runs out of fresh sessions. */
const freshPerSecond = 600;

const megabyte = 1_000_000;

/** In seconds. */
const hour = 3_600;

/** In the order in which they are played. */
export const scenarios: readonly Scenario[] = [
  {
    name: 'quiet',
    title: 'nobody else',
    quiet: true,
    prepare: () => Promise.resolve({ attacks: [] }),
  },
  {
    name: 'machine',
    title: 'two processes that compute at the priority of attackers, and call nobody',
    control: true,
    prepare: () => Promise.resolve({ attacks: [{ type: 'computing' }, { type: 'computing' }] }),
  },
  {
    name: 'no-key',
    title: '1,000 concurrent calls without an API key',
    prepare: () =>
      Promise.resolve({ attacks: [calls(paths.listSessions, {}, [listSessions], 1_000)] }),
  },
  {
    name: 'list-sessions',
    title: '1,000 concurrent ListSessions',
    async prepare(stage) {
      await createOwn(stage, stage.attacker, 1_000);
      return { attacks: [calls(paths.listSessions, keyOf(stage), [listSessions], 1_000)] };
    },
  },
  {
    name: 'list-imports',
    title:
      '60 concurrent ListImports whose filter matches none of 600,000 rows, cancelled after 100 ms',
    async prepare(stage) {
      await fillLedger(stage.db, stage.attacker.applicationId, 600_000);
      const request = ListImportsRequest.create({ otherApplicationId: newId() });
      const message = framed(ListImportsRequest.encode(request).finish());
      const flood = calls(paths.listImports, keyOf(stage), [message], 60);
      return { attacks: [{ ...flood, cancelAfter: 100 }] };
    },
  },
  {
    name: 'imports',
    title: '1,000 concurrent ImportSession of fresh sessions',
    async prepare(stage) {
      const { db, world, seconds } = stage;
      const count = freshPerSecond * seconds;
      const sessions = await multiply(db, world, 'user', world.templates.user, count);
      return { attacks: [await importFlood(stage, sessions, 1_000, 'user')] };
    },
  },
  {
    name: 'refused-imports',
    title: '1,000 concurrent ImportSession with expired tokens',
    async prepare(stage) {
      const sessions = Array.from({ length: 500 }, () => stage.world.templates.user);
      return { attacks: [await importFlood(stage, sessions, 1_000, 'user', { expired: true })] };
    },
  },
  {
    name: 'locked-source',
    title: '200 concurrent ImportSession of a session that somebody has locked',
    async prepare(stage) {
      const { db, world } = stage;
      const locked = await multiply(db, world, 'user', world.templates.user, 1);
      const flood = await importFlood(stage, locked, 200, 'user');
      return { attacks: [flood], hold: () => lockSession(stage, locked) };
    },
  },
  {
    name: 'revocations',
    title:
      '4 concurrent RevokeShareToken of a session with 200,000 tokens of the last day, 1,000 of them live',
    async prepare(stage) {
      const [session] = await createOwn(stage, stage.attacker, 1);
      if (!session) throw new Error('no session was made');
      // As a loop makes them that has used its limit of live tokens all day long.
      await recordShareTokens(stage.db, stage.attacker, session, 199_000, hour);
      await recordShareTokens(stage.db, stage.attacker, session, 1_000);
      const request = RevokeShareTokenRequest.create({
        target: { $case: 'sessionId', value: session },
      });
      const message = framed(RevokeShareTokenRequest.encode(request).finish());
      return { attacks: [calls(paths.revoke, keyOf(stage), [message], 4)] };
    },
  },
  // More than the database takes at once, and as much as it takes.
  rowsOf2Mb('huge-rows', { rows: 40, perSecond: 0.5 }),
  rowsOf2Mb('large-rows', { rows: 7, perSecond: 1 }),
  {
    name: 'linked-people',
    title: '4 concurrent ImportSession of two companies with the sessions of 33,000 key people',
    async prepare(stage) {
      const companies = await companiesWithPeople(stage, 2, 33_000);
      return { attacks: [await importFlood(stage, companies, 4, 'business', { linked: true })] };
    },
  },
  {
    name: 'strangers',
    title: '8 connections that try to keep 1,500 calls with made-up API keys open, each',
    prepare: () => {
      const flood = calls(paths.listSessions, {}, [listSessions], 1_500);
      return Promise.resolve({ attacks: [{ ...flood, connections: 8, madeUpKeys: true }] });
    },
  },
  manyCalls('short-deadlines', {
    title: '20 connections of 200 concurrent calls with a deadline of 20 ms',
    headers: { 'grpc-timeout': '20m' },
  }),
  manyCalls('taken-back', {
    title: '20 connections of 200 concurrent calls that are cancelled after 60 ms',
    cancelAfter: 60,
  }),
  manyCalls('unknown-method', {
    title: '20 connections of 200 concurrent calls of a method that does not exist',
    path: '/sessionimport.v1.SessionRead/GetNothing',
  }),
  {
    name: 'unread-answers',
    title: '20 connections of 100 reflection streams and 4 of 100 large GetSession, never read',
    async prepare(stage) {
      const { attacker } = stage;
      const template = await hugeTemplate(stage, 1_000, 1_500);
      const [sessionId] = await createOwn(stage, attacker, 1, template);
      const request = GetSessionRequest.create({
        sessionId: sessionId ?? '',
        relationPageSize: 500,
      });
      const answers = GetSessionRequest.encode(request).finish();
      const streams = { type: 'streams', concurrent: 100 } as const;
      return {
        attacks: [
          {
            ...streams,
            path: paths.reflection,
            headers: {},
            connections: 20,
            message: reflectionRequest,
            endless: true,
          },
          {
            ...streams,
            path: paths.getSession,
            headers: keyOf(stage),
            connections: 4,
            message: framed(answers),
            endless: false,
          },
        ],
      };
    },
  },
  {
    name: 'endless-requests',
    title: '20 connections of 100 requests that send messages of 60 KB without end',
    prepare: () =>
      Promise.resolve({
        attacks: [
          {
            type: 'streams',
            path: paths.import,
            headers: {},
            connections: 20,
            concurrent: 100,
            message: largeRequest,
            endless: true,
          },
        ],
      }),
  },
  {
    name: 'rapid-reset',
    title: '4 connections that open streams and reset them at once',
    prepare: () =>
      Promise.resolve({
        attacks: [{ type: 'rapid reset', path: paths.import, headers: {}, connections: 4 }],
      }),
  },
  {
    name: 'one-byte-frames',
    title: '8 connections that send requests of 60 KB in frames of one byte',
    prepare: () =>
      Promise.resolve({
        attacks: [
          {
            type: 'one-byte frames',
            path: paths.import,
            headers: {},
            connections: 8,
            message: largeRequest,
          },
        ],
      }),
  },
  {
    name: 'hard-to-read',
    title:
      '20 connections of 200 concurrent calls that take long to read, five for each kind: 13,000 empty messages; 32,000 fields; these compressed to 100 bytes; binary metadata of 60,000 commas',
    prepare: () =>
      Promise.resolve({
        attacks: [
          hardToRead(manyMessages),
          hardToRead(framed(manyFields)),
          hardToRead(framed(gzipSync(manyFields), true), { 'grpc-encoding': 'gzip' }),
          hardToRead(listSessions, { 'x-bin': ','.repeat(60_000) }),
        ],
      }),
  },
  {
    name: 'quiet-again',
    title: 'nobody else, once more',
    quiet: true,
    control: true,
    prepare: () => Promise.resolve({ attacks: [] }),
  },
];

/** @param perSecond how many sessions there are to import, for each second of the attack. */
function rowsOf2Mb(
  name: string,
  { rows, perSecond }: { readonly rows: number; readonly perSecond: number },
): Scenario {
  return {
    name,
    title: `6 concurrent ImportSession of ${rows} rows of 2 MB, 4 concurrent ListSessionRows of such`,
    async prepare(stage) {
      const { db, world, attacker, seconds } = stage;
      const template = await hugeTemplate(stage, rows, 2 * megabyte);
      const count = Math.max(8, Math.ceil(seconds * perSecond));
      const sessions = await multiply(db, world, 'user', template, count);
      const [sessionId] = await createOwn(stage, attacker, 1, template);
      const request = ListSessionRowsRequest.create({
        sessionId: sessionId ?? '',
        relation: 'logs',
      });
      const message = framed(ListSessionRowsRequest.encode(request).finish());
      return {
        attacks: [
          await importFlood(stage, sessions, 6, 'user'),
          calls(paths.listRows, keyOf(stage), [message], 4),
        ],
      };
    },
  };
}

/** A flood of calls without an API key, over many connections. */
function manyCalls(
  name: string,
  {
    title,
    path = paths.listSessions,
    headers = {},
    ...options
  }: { readonly title: string } & Partial<Pick<CallFlood, 'path' | 'headers' | 'cancelAfter'>>,
): Scenario {
  const messages = [listSessions];
  const flood: CallFlood = {
    ...{ type: 'calls', path, headers, messages, connections: 20, concurrent: 200 },
    ...options,
  };
  return { name, title, prepare: () => Promise.resolve({ attacks: [flood] }) };
}

/** Calls without an API key whose request takes long to read. */
function hardToRead(
  message: Uint8Array,
  headers: Readonly<Record<string, string>> = {},
): CallFlood {
  return {
    type: 'calls',
    path: paths.listSessions,
    headers,
    messages: [message],
    connections: 5,
    concurrent: 200,
  };
}

/** A flood of calls over two connections, so that no connection needs more streams than it may have. */
function calls(
  path: string,
  headers: Readonly<Record<string, string>>,
  messages: readonly Uint8Array[],
  concurrent: number,
): CallFlood {
  const connections = 2;
  return {
    type: 'calls',
    path,
    headers,
    messages,
    connections,
    concurrent: concurrent / connections,
  };
}

function keyOf({ attacker }: Stage): Readonly<Record<string, string>> {
  return { 'x-api-key': attacker.apiKey };
}

/** A flood of imports by the attacker: of each session in turn, and then from the first again. */
async function importFlood(
  stage: Stage,
  sessions: readonly SessionId[],
  concurrent: number,
  kind: 'user' | 'business',
  options: { readonly linked?: boolean; readonly expired?: boolean } = {},
): Promise<CallFlood> {
  const { world, attacker } = stage;
  const messages: Uint8Array[] = [];
  for (const entry of new Supply(kind, sessions, [attacker], 0).take(sessions.length)) {
    const request = await importRequest(world, entry, options);
    messages.push(framed(ImportSessionRequest.encode(request).finish()));
  }
  return calls(paths.import, keyOf(stage), messages, concurrent);
}

/** Locks a session on a connection of its own, like somebody who works on it. */
async function lockSession(
  { adminUrl }: Stage,
  [locked]: readonly SessionId[],
): Promise<() => Promise<void>> {
  if (!locked) throw new Error('there is no session to lock');
  const connection = await createConnection(adminUrl);
  await connection.beginTransaction();
  await connection.query('SELECT id FROM user_sessions WHERE id = ? FOR UPDATE', [
    toBinary(locked),
  ]);
  return async () => {
    await connection.rollback();
    await connection.end();
  };
}
