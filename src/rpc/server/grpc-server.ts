import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { GrpcConfig } from '../../config';
import type { RunningCalls } from '../call/running-calls';
import { maxRequestSize } from './connection';
import { limitingRequestTime, observingRpcs, refusingLate } from './interceptors';
import { unobservedRpcs, type RpcObserver } from './observer';
import type { OpenStreams } from './streaming';

/** How long a client has to answer a keepalive ping, as a share of the keepalive time. */
const keepaliveShare = 1 / 3;

/** How long calls on a connection that has grown too old may take to end, in milliseconds. */
const connectionAgeGrace = 60_000;

/**
 * Makes a gRPC server with the limits of the configuration. What a connection may cost is limited
 * apart from it, in `peers.ts`, once the server listens.
 *
 * @param running has the calls whose requests have not arrived.
 * @param streams has the streams of the services that are not the contract's.
 * @param observer is told of every RPC.
 */
export function createGrpcServer(
  config: GrpcConfig,
  running: RunningCalls,
  streams: OpenStreams,
  observer: RpcObserver = unobservedRpcs,
): Server {
  const limitTime = limitingRequestTime(config.requestTimeout, running);
  return new Server({
    interceptors: [
      // First, so that it sees how the others end a call.
      observingRpcs(observer),
      (method, call) =>
        method.responseStream && !isOwn(method.path)
          ? streams.limit(method, limitTime(method, call))
          : limitTime(method, call),
      refusingLate,
    ],
    'grpc.max_receive_message_length': maxRequestSize,
    'grpc.max_concurrent_streams': config.maxConcurrentStreams,
    'grpc.keepalive_time_ms': config.keepalive * 1_000,
    'grpc.keepalive_timeout_ms': config.keepalive * 1_000 * keepaliveShare,
    ...(config.maxConnectionAge === 0
      ? {}
      : {
          'grpc.max_connection_age_ms': config.maxConnectionAge * 1_000,
          'grpc.max_connection_age_grace_ms': connectionAgeGrace,
        }),
  });
}

/** Whether a method is of the contract. Its streams are counted by application, once their callers are known. */
function isOwn(path: string): boolean {
  return path.startsWith('/sessionimport.');
}

/**
 * Starts to listen.
 *
 * @param credentials undefined: plain text.
 * @returns the port.
 * @throws Error if the address can't be listened on.
 */
export function listen(
  server: Server,
  address: string,
  credentials: ServerCredentials | undefined,
): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(address, credentials ?? ServerCredentials.createInsecure(), (error, port) => {
      if (error) reject(new Error(`can not listen on GRPC_ADDRESS ${address}: ${error.message}`));
      else resolve(port);
    });
  });
}
