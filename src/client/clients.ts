import {
  makeGenericClientConstructor,
  type CallOptions,
  type ChannelCredentials,
  type Client,
  type ClientOptions,
  type ClientReadableStream,
  type ClientUnaryCall,
  type Metadata,
  type ServiceDefinition,
  type ServiceError,
} from '@grpc/grpc-js';
import {
  AcceptConnectionRequest,
  EndConnectionRequest,
  GetConnectionRequest,
  ListConnectionsRequest,
  ProposeConnectionRequest,
  SessionConnectionService,
} from '../gen/sessionimport/v1/session_connection';
import {
  EraseSessionRequest,
  SessionErasureService,
  SetRetentionRequest,
} from '../gen/sessionimport/v1/session_erasure';
import {
  ListEventsRequest,
  SessionEventsService,
  WatchEventsRequest,
} from '../gen/sessionimport/v1/session_events';
import {
  ImportSessionRequest,
  ListWorkflowsRequest,
  SessionImportService,
} from '../gen/sessionimport/v1/session_import';
import {
  GetSessionRequest,
  ListSessionRowsRequest,
  ListSessionsRequest,
  SessionReadService,
} from '../gen/sessionimport/v1/session_read';
import {
  AcknowledgeWithdrawalRequest,
  ListReceivedShareTokensRequest,
  ListShareTokensRequest,
  ListWithdrawalsRequest,
  RevokeShareTokenRequest,
  SessionShareService,
  ShareSessionRequest,
  WithdrawSessionRequest,
} from '../gen/sessionimport/v1/session_share';
import {
  GetProvenanceRequest,
  ListImportsRequest,
  SessionTraceService,
} from '../gen/sessionimport/v1/session_trace';

type Callback<Response> = (error: ServiceError | null, response: Response) => void;

/**
 * A request in which any field may be left out: then it has protobuf's default value. This includes the fields of
 * nested messages, such as the `nanos` of a duration.
 */
export type Partly<Request> = {
  readonly [Field in keyof Request]?: PartlyField<Request[Field]> | undefined;
};

/** Types without partial forms stay as they are: times, lists, and the `$case` of a oneof. */
type PartlyField<Value> = Value extends Date | readonly unknown[] | { readonly $case: string }
  ? Value
  : Value extends object
    ? Partly<Value>
    : Value;

/** A method of a client: with metadata and options, or without. */
export interface ClientMethod<Request, Response> {
  (request: Partly<Request>, callback: Callback<Response>): ClientUnaryCall;
  (request: Partly<Request>, metadata: Metadata, callback: Callback<Response>): ClientUnaryCall;
  (
    request: Partly<Request>,
    metadata: Metadata,
    options: Partial<CallOptions>,
    callback: Callback<Response>,
  ): ClientUnaryCall;
}

/** A method of a client that answers with a stream. */
export type ClientStream<Request, Response> = (
  request: Partly<Request>,
  metadata?: Metadata,
  options?: Partial<CallOptions>,
) => ClientReadableStream<Response>;

/** What a generated service says of a method, as far as types are told from it. */
interface Definition {
  readonly requestSerialize: (request: never) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => unknown;
  readonly responseStream: boolean;
}

type RequestOf<Method extends Definition> = Parameters<Method['requestSerialize']>[0];
type ResponseOf<Method extends Definition> = ReturnType<Method['responseDeserialize']>;

type Service = Readonly<Record<string, Definition>>;

/** A client of a service: gRPC's own, with the methods of the service. */
export type ClientOf<Methods extends Service> = Client & {
  readonly [Name in keyof Methods]: Methods[Name]['responseStream'] extends true
    ? ClientStream<RequestOf<Methods[Name]>, ResponseOf<Methods[Name]>>
    : ClientMethod<RequestOf<Methods[Name]>, ResponseOf<Methods[Name]>>;
};

/** Makes clients of a service. The arguments are those of gRPC's own clients. */
export type ClientConstructor<Methods extends Service> = new (
  address: string,
  credentials: ChannelCredentials,
  options?: ClientOptions,
) => ClientOf<Methods>;

/** For each method, what fills in the fields that a request leaves out. */
type RequestsOf<Methods extends Service> = {
  readonly [Name in keyof Methods]: {
    readonly fromPartial: (request: never) => RequestOf<Methods[Name]>;
  };
};

/** Makes the clients of a service. If a method has no request, the code does not compile. */
function clientsOf<Methods extends Service>(
  methods: Methods,
  requests: RequestsOf<Methods>,
): ClientConstructor<Methods> {
  const tolerant = Object.entries(methods).map(([name, method]) => {
    const { fromPartial } = requests[name] as { readonly fromPartial: (request: object) => never };
    const requestSerialize = (request: object) => method.requestSerialize(fromPartial(request));
    return [name, { ...method, requestSerialize }];
  });
  const definition = Object.fromEntries(tolerant) as ServiceDefinition;
  return makeGenericClientConstructor(definition, '') as unknown as ClientConstructor<Methods>;
}

export const SessionImportClient = clientsOf(SessionImportService, {
  importSession: ImportSessionRequest,
  listWorkflows: ListWorkflowsRequest,
});
export type SessionImportClient = ClientOf<typeof SessionImportService>;

export const SessionShareClient = clientsOf(SessionShareService, {
  shareSession: ShareSessionRequest,
  revokeShareToken: RevokeShareTokenRequest,
  listShareTokens: ListShareTokensRequest,
  listReceivedShareTokens: ListReceivedShareTokensRequest,
  withdrawSession: WithdrawSessionRequest,
  acknowledgeWithdrawal: AcknowledgeWithdrawalRequest,
  listWithdrawals: ListWithdrawalsRequest,
});
export type SessionShareClient = ClientOf<typeof SessionShareService>;

export const SessionReadClient = clientsOf(SessionReadService, {
  getSession: GetSessionRequest,
  listSessionRows: ListSessionRowsRequest,
  listSessions: ListSessionsRequest,
});
export type SessionReadClient = ClientOf<typeof SessionReadService>;

export const SessionTraceClient = clientsOf(SessionTraceService, {
  listImports: ListImportsRequest,
  getProvenance: GetProvenanceRequest,
});
export type SessionTraceClient = ClientOf<typeof SessionTraceService>;

export const SessionConnectionClient = clientsOf(SessionConnectionService, {
  proposeConnection: ProposeConnectionRequest,
  acceptConnection: AcceptConnectionRequest,
  endConnection: EndConnectionRequest,
  getConnection: GetConnectionRequest,
  listConnections: ListConnectionsRequest,
});
export type SessionConnectionClient = ClientOf<typeof SessionConnectionService>;

export const SessionErasureClient = clientsOf(SessionErasureService, {
  eraseSession: EraseSessionRequest,
  setRetention: SetRetentionRequest,
});
export type SessionErasureClient = ClientOf<typeof SessionErasureService>;

export const SessionEventsClient = clientsOf(SessionEventsService, {
  listEvents: ListEventsRequest,
  watchEvents: WatchEventsRequest,
});
export type SessionEventsClient = ClientOf<typeof SessionEventsService>;
