import type { status } from '@grpc/grpc-js';

/** A gRPC method, by the labels that dashboards of every language's servers share. */
export interface RpcLabels {
  readonly grpc_type: 'unary' | 'client_stream' | 'server_stream' | 'bidi_stream';
  readonly grpc_service: string;
  readonly grpc_method: string;
}

/** Is told of every RPC that has begun, of every service, also of those that end before they reach their handler. */
export interface RpcObserver {
  rpcBegun(labels: RpcLabels): void;
  messageReceived(labels: RpcLabels): void;
  messageSent(labels: RpcLabels): void;
  rpcEnded(labels: RpcLabels, code: status, seconds: number): void;
}

/** An observer that does nothing: for a service without metrics. */
export const unobservedRpcs: RpcObserver = {
  rpcBegun: () => undefined,
  messageReceived: () => undefined,
  messageSent: () => undefined,
  rpcEnded: () => undefined,
};

/** Why a connection was cut off: a label of a metric. */
export const cutOffs = [
  'handshake',
  'protocol_error',
  'small_frames',
  'overhead',
  'rapid_resets',
  'oversized_calls',
  'waiting_calls',
  'request_bytes',
  'answer_bytes',
  'answer_unread',
  'too_many',
] as const;
export type CutOff = (typeof cutOffs)[number];

/** Is told of connections that were cut off. */
export interface PeerObserver {
  connectionCut(reason: CutOff): void;
}
