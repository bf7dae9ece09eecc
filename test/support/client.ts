import {
  credentials,
  Metadata,
  status,
  type CallOptions,
  type ClientOptions,
  type ServiceError as GrpcError,
} from '@grpc/grpc-js';
import { expect } from 'chai';
import type { Any } from '../../src/gen/google/protobuf/any';
import {
  BadRequest,
  ErrorInfo,
  PreconditionFailure,
  ResourceInfo,
  RetryInfo,
} from '../../src/gen/google/rpc/error_details';
import { Status } from '../../src/gen/google/rpc/status';
import {
  ImportSessionRequest,
  SessionImportClient,
  type ImportSessionResponse,
  type Session,
} from '../../src/gen/sessionimport/v1/session_import';

/** A method of a generated service, as a client needs it. */
interface Method<Request, Response> {
  readonly path: string;
  readonly requestSerialize: (request: Request) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => Response;
  /** Whether it answers with a stream. */
  readonly responseStream?: boolean;
}

/** A client of a running service, with promises. */
export class TestClient {
  /** The request id that came with the newest answer. */
  lastRequestId: string | undefined;
  private readonly stub: SessionImportClient;

  constructor(
    port: number,
    channelCredentials = credentials.createInsecure(),
    options: ClientOptions = {},
  ) {
    this.stub = new SessionImportClient(`127.0.0.1:${port}`, channelCredentials, options);
  }

  import(
    apiKey: string | null,
    request: Partial<ImportSessionRequest>,
    options: CallOptions & { readonly signal?: AbortSignal } = {},
  ): Promise<ImportSessionResponse> {
    const metadata = new Metadata();
    if (apiKey !== null) metadata.set('x-api-key', apiKey);
    return this.send(metadata, request, options);
  }

  send(
    metadata: Metadata,
    request: Partial<ImportSessionRequest>,
    { signal, ...options }: CallOptions & { readonly signal?: AbortSignal } = {},
  ): Promise<ImportSessionResponse> {
    return new Promise((resolve, reject) => {
      const call = this.stub.importSession(
        ImportSessionRequest.fromPartial(request),
        metadata,
        options,
        (error, response) => {
          if (error) {
            this.noteRequestId(error.metadata);
            reject(error);
          } else {
            resolve(response);
          }
        },
      );
      call.on('metadata', (header: Metadata) => {
        this.noteRequestId(header);
      });
      signal?.addEventListener('abort', () => {
        call.cancel();
      });
    });
  }

  /**
   * Calls any method of any service. Of a stream, the answer is its first message.
   *
   * @param caller an API key, or metadata of any kind.
   */
  call<Request, Response>(
    method: Method<Request, Response>,
    caller: string | Metadata | null,
    request: Request,
    { signal }: { readonly signal?: AbortSignal } = {},
  ): Promise<Response> {
    const metadata = caller instanceof Metadata ? caller : new Metadata();
    if (typeof caller === 'string') metadata.set('x-api-key', caller);
    const { path, requestSerialize: serialize, responseDeserialize: deserialize } = method;
    return new Promise((resolve, reject) => {
      const none = new Error('there is no answer');
      const call = method.responseStream
        ? this.stub
            .makeServerStreamRequest(path, serialize, deserialize, request, metadata)
            .once('data', (response: Response) => {
              resolve(response);
              call.cancel();
            })
            .on('error', reject)
            .on('end', () => {
              reject(none);
            })
        : this.stub.makeUnaryRequest(
            ...([path, serialize, deserialize, request, metadata] as const),
            (error, response) => {
              if (response) resolve(response);
              else reject(error ?? none);
            },
          );
      signal?.addEventListener('abort', () => {
        call.cancel();
      });
    });
  }

  private noteRequestId(metadata: Metadata): void {
    const id = metadata.get('x-request-id')[0]?.toString();
    if (id !== undefined) this.lastRequestId = id;
  }

  close(): void {
    this.stub.close();
  }
}

/** The session of an answer; fails the test if it has none. */
export function sessionOf(response: ImportSessionResponse): Session {
  if (!response.session) throw new Error('the answer has no session');
  return response.session;
}

/** The rows cloned by relation, without those of no rows. */
export function rowsOf(response: ImportSessionResponse): Record<string, number> {
  return Object.fromEntries(
    response.clonedRelations
      .filter(({ rows }) => rows > 0)
      .map(({ relation, rows }) => [relation, rows]),
  );
}

/** A failed call as its caller sees it, with the details unpacked. */
export interface Failure {
  readonly code: string | undefined;
  readonly reason: string | undefined;
  readonly message: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly badRequest: BadRequest | undefined;
  readonly precondition: PreconditionFailure | undefined;
  readonly resource: ResourceInfo | undefined;
  readonly retry: RetryInfo | undefined;
  /** How long gRPC's own retries are to wait, in milliseconds; negative: they are to stop. */
  readonly pushback: number | undefined;
}

/** Waits for a call to fail; fails the test if it succeeds. */
export async function failureOf(call: Promise<unknown>): Promise<Failure> {
  const error = await call.then(
    () => undefined,
    (failure: unknown) => failure as GrpcError,
  );
  if (!error) throw new Error('the call succeeded, and should have failed');
  const [trailer] = error.metadata.get('grpc-status-details-bin');
  const full = Buffer.isBuffer(trailer) ? Status.decode(trailer) : undefined;
  const info = detail(full, 'ErrorInfo', ErrorInfo);
  if (full) {
    expect(full.code).to.equal(error.code);
    expect(info?.domain).to.equal('session-import');
  }
  const retry = detail(full, 'RetryInfo', RetryInfo);
  const pushback = pushbackOf(error);
  if (full) expectPushback(retry, pushback);
  return {
    code: status[error.code],
    reason: info?.reason,
    message: error.details,
    metadata: info?.metadata ?? {},
    badRequest: detail(full, 'BadRequest', BadRequest),
    precondition: detail(full, 'PreconditionFailure', PreconditionFailure),
    resource: detail(full, 'ResourceInfo', ResourceInfo),
    retry,
    pushback,
  };
}

function pushbackOf({ metadata }: GrpcError): number | undefined {
  const [value] = metadata.get('grpc-retry-pushback-ms');
  return value === undefined ? undefined : Number(value);
}

/** Fails the test if the pushback for gRPC's own retries does not fit RetryInfo. */
function expectPushback(retry: RetryInfo | undefined, pushback: number | undefined): void {
  const delay = retry?.retryDelay;
  if (!delay || pushback === undefined)
    expect([delay, pushback]).to.deep.equal([undefined, undefined]);
  else if (pushback !== -1)
    expect(pushback).to.be.at.least(delay.seconds * 1_000 + delay.nanos / 1_000_000);
}

function detail<T>(
  full: Status | undefined,
  name: string,
  type: { decode(bytes: Uint8Array): T },
): T | undefined {
  const found = full?.details.find(
    ({ typeUrl }: Any) => typeUrl === `type.googleapis.com/google.rpc.${name}`,
  );
  return found && type.decode(found.value);
}

/** How each of many calls ended: "OK", or the reason of its failure. */
export async function endings(calls: readonly Promise<unknown>[]): Promise<string[]> {
  return Promise.all(
    calls.map(async (call) => {
      const settled = await call.then(
        () => 'OK',
        () => undefined,
      );
      if (settled) return settled;
      const { reason, code } = await failureOf(call);
      return reason ?? code ?? 'unknown';
    }),
  );
}
