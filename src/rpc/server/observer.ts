import type { status } from '@grpc/grpc-js';

/** A gRPC method, by the labels that dashboards of every language's servers share. */
export interface RpcLabels {
  readonly grpc_type: 'unary' | 'client_stream' | 'server_stream' | 'bidi_stream';
  readonly grpc_service: string;
  readonly grpc_method: string;
}

/** Is told of every RPC of every service, also of those that end before they reach their handler. */
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
