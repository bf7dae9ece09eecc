import type { Server, ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';
import { SessionConnectionService } from '../gen/sessionimport/v1/session_connection';
import { SessionEventsService } from '../gen/sessionimport/v1/session_events';
import { SessionErasureService } from '../gen/sessionimport/v1/session_erasure';
import { SessionImportService } from '../gen/sessionimport/v1/session_import';
import {
  GetSessionResponse,
  ListSessionRowsResponse,
  SessionReadService,
} from '../gen/sessionimport/v1/session_read';
import { SessionShareService } from '../gen/sessionimport/v1/session_share';
import { SessionTraceService } from '../gen/sessionimport/v1/session_trace';
import { must } from '../model/must';
import type { Privilege } from '../model/privileges';
import { stream, type StreamMethod } from './call/stream';
import { unary, type UnaryMethod } from './call/unary';
import { acceptConnectionHandler } from './connection/accept-connection';
import { endConnectionHandler } from './connection/end-connection';
import { getConnection } from './connection/get-connection';
import { listConnectionsHandler } from './connection/list-connections';
import { proposeConnectionHandler } from './connection/propose-connection';
import type { Context } from './context';
import { eraseSession } from './erasure/erase-session';
import { setRetention } from './erasure/set-retention';
import { listEvents } from './events/list-events';
import { watchEvents } from './events/watch-events';
import { importSession } from './import/import-session';
import { listWorkflows } from './import/list-workflows';
import { getSession } from './read/get-session';
import { listSessionRows } from './read/list-session-rows';
import { listSessions } from './read/list-sessions';
import { largeAnswer, type MessageType } from './server/large-answers';
import { strictRequests } from './server/strict-requests';
import { acknowledgeWithdrawal } from './share/acknowledge-withdrawal';
import { listReceivedShareTokens } from './share/list-received-share-tokens';
import { listShareTokens } from './share/list-share-tokens';
import { listWithdrawals } from './share/list-withdrawals';
import { revokeShareToken } from './share/revoke-share-token';
import { shareSession } from './share/share-session';
import { withdrawSessionHandler } from './share/withdraw-session';
import { getProvenance } from './trace/get-provenance';
import { listImports } from './trace/list-imports';

/** How a method of the contract is carried out. */
type Method<Request, Response> = {
  readonly privilege: Privilege;
  /** The type of its answers, if they can be large. */
  readonly largeAnswer?: MessageType<Response>;
} & (UnaryMethod<Request, Response> | StreamMethod<Request, Response>);

/** A service of the contract with all its methods. If one is missing, the code does not compile. */
interface Service {
  readonly definition: ServiceDefinition;
  readonly methods: Readonly<Record<string, Method<unknown, unknown>>>;
}

/** The methods of a generated service, by what they take and give. */
type MethodsOf<Definition> = {
  readonly [Name in keyof Definition]: Definition[Name] extends {
    readonly requestDeserialize: (bytes: Buffer) => infer Request;
    readonly responseDeserialize: (bytes: Buffer) => infer Response;
  }
    ? Method<Request, Response>
    : never;
};

function service<Definition extends ServiceDefinition>(
  definition: Definition,
  methods: MethodsOf<Definition>,
): Service {
  return { definition, methods };
}

/**
 * Every method of the contract: the privilege that it needs, the line in which its work waits, and the
 * function that carries it out.
 */
const services: readonly Service[] = [
  service(SessionImportService, {
    importSession: { privilege: 'write:sessions', attempt: importSession },
    listWorkflows: { privilege: 'write:sessions', line: 'reads', handler: listWorkflows },
  }),
  service(SessionShareService, {
    shareSession: { privilege: 'write:session-shares', line: 'shares', handler: shareSession },
    withdrawSession: {
      privilege: 'write:session-shares',
      line: 'shares',
      handler: withdrawSessionHandler,
    },
    acknowledgeWithdrawal: {
      privilege: 'write:sessions',
      line: 'shares',
      handler: acknowledgeWithdrawal,
    },
    listWithdrawals: { privilege: 'read:session-shares', line: 'reads', handler: listWithdrawals },
    revokeShareToken: {
      privilege: 'write:session-shares',
      line: 'shares',
      handler: revokeShareToken,
    },
    listShareTokens: { privilege: 'read:session-shares', line: 'reads', handler: listShareTokens },
    listReceivedShareTokens: {
      privilege: 'read:session-shares',
      line: 'reads',
      handler: listReceivedShareTokens,
    },
  }),
  service(SessionReadService, {
    getSession: {
      privilege: 'read:sessions',
      line: 'reads',
      handler: getSession,
      largeAnswer: GetSessionResponse,
    },
    listSessionRows: {
      privilege: 'read:sessions',
      line: 'reads',
      handler: listSessionRows,
      largeAnswer: ListSessionRowsResponse,
    },
    listSessions: { privilege: 'read:sessions', line: 'reads', handler: listSessions },
  }),
  service(SessionTraceService, {
    listImports: { privilege: 'read:session-imports', line: 'reads', handler: listImports },
    getProvenance: { privilege: 'read:session-imports', line: 'reads', handler: getProvenance },
  }),
  service(SessionConnectionService, {
    proposeConnection: {
      privilege: 'write:session-connections',
      line: 'shares',
      handler: proposeConnectionHandler,
    },
    acceptConnection: {
      privilege: 'write:session-connections',
      line: 'shares',
      handler: acceptConnectionHandler,
    },
    endConnection: {
      privilege: 'write:session-connections',
      line: 'shares',
      handler: endConnectionHandler,
    },
    getConnection: {
      privilege: 'read:session-connections',
      line: 'reads',
      handler: getConnection,
    },
    listConnections: {
      privilege: 'read:session-connections',
      line: 'reads',
      handler: listConnectionsHandler,
    },
  }),
  service(SessionErasureService, {
    eraseSession: { privilege: 'erase:sessions', line: 'shares', handler: eraseSession },
    setRetention: { privilege: 'erase:sessions', line: 'shares', handler: setRetention },
  }),
  service(SessionEventsService, {
    listEvents: { privilege: 'read:session-events', line: 'reads', handler: listEvents },
    watchEvents: { privilege: 'read:session-events', line: 'reads', stream: watchEvents },
  }),
];

/** The full names of the services, such as `sessionimport.v1.SessionImport`. */
export const serviceNames: readonly string[] = services.map(({ definition }) => {
  const [method] = Object.values(definition);
  return must(method?.path.split('/')[1], 'the name of a service');
});

/** Adds the services of the contract to a server. */
export function addServices(server: Server, context: Context): void {
  for (const { definition, methods } of services) {
    const implementation: UntypedServiceImplementation = Object.fromEntries(
      Object.entries(definition).map(([name, { path }]) => {
        const method = must(methods[name], path);
        return [
          name,
          'stream' in method ? stream(path, method, context) : unary(path, method, context),
        ];
      }),
    );
    server.addService(withLargeAnswers(strictRequests(definition), methods), implementation);
  }
}

function withLargeAnswers(
  definition: ServiceDefinition,
  methods: Service['methods'],
): ServiceDefinition {
  return Object.fromEntries(
    Object.entries(definition).map(([name, method]) => {
      const type = methods[name]?.largeAnswer;
      return [name, type ? { ...method, responseSerialize: largeAnswer(type) } : method];
    }),
  );
}
