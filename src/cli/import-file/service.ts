import { setTimeout as sleep } from 'node:timers/promises';
import { Metadata, status, type ChannelCredentials, type ServiceError } from '@grpc/grpc-js';
import {
  errorDetails,
  serviceConfig,
  SessionImportClient,
  type ImportSessionResponse,
} from '../../client';
import type { WantedImport } from './lines';
import type { Result } from './results';

/** How long one call may take, with all of gRPC's own tries, in milliseconds. */
const deadline = 45_000;

/** The pauses after failures that can be retried, in milliseconds. */
const pauses = { first: 1_000, longest: 30_000 };

/**
 * Codes that are worth another call: the service is unavailable, overloaded or over its rate limit, or the call lost a
 * conflict or ran out of time.
 */
const passing: ReadonlySet<number> = new Set([
  status.UNAVAILABLE,
  status.RESOURCE_EXHAUSTED,
  status.ABORTED,
  status.DEADLINE_EXCEEDED,
]);

/**
 * Errors about the caller or the address, and not about the line: the next line would fail for the same reason.
 * The last three are gRPC codes without a reason, so they do not come from the service's own handlers.
 */
const notAboutTheLine: ReadonlySet<string> = new Set([
  ...['CREDENTIALS_AMBIGUOUS', 'API_KEY_INVALID', 'GATEWAY_NOT_TRUSTED'],
  ...['APPLICATION_NOT_FOUND', 'PRIVILEGE_MISSING'],
  ...['UNIMPLEMENTED', 'UNAUTHENTICATED', 'PERMISSION_DENIED'],
]);

/** The run can't go on, because every other line would fail as well. */
export class CanNotGoOn extends Error {
  override readonly name = 'CanNotGoOn';
}

/** The service that imports, as the command calls it. */
export class ImportingService {
  private readonly client: SessionImportClient;
  private readonly metadata = new Metadata();

  constructor(address: string, credentials: ChannelCredentials, apiKey: string) {
    this.client = new SessionImportClient(address, credentials, {
      'grpc.service_config': serviceConfig,
    });
    this.metadata.set('x-api-key', apiKey);
  }

  close(): void {
    this.client.close();
  }

  /**
   * Imports a line. While the service is unavailable, overloaded or limits the rate, it waits and calls again, with the
   * same request id.
   *
   * @param patience how long to call again, in milliseconds.
   * @param signal ends the waiting between two calls.
   * @throws CanNotGoOn if the caller is refused, its patience is over, or this is another service.
   * @throws AbortError if the signal was aborted during a wait.
   */
  async import(
    line: number,
    wanted: WantedImport,
    patience: number,
    signal: AbortSignal,
  ): Promise<Result> {
    const about = { line, request_id: wanted.requestId };
    const until = performance.now() + patience;
    for (let pause = pauses.first; ; pause = Math.min(2 * pause, pauses.longest)) {
      const answer = await this.call(wanted).catch((error: unknown) => error as ServiceError);
      if (!(answer instanceof Error)) {
        return { ...about, outcome: 'imported', ...sessionOf(answer) };
      }
      const { reason = status[answer.code], retryDelay = 0 } = errorDetails(answer) ?? {};
      if (notAboutTheLine.has(reason)) throw new CanNotGoOn(answer.details);
      if (!passing.has(answer.code)) {
        const outcome = answer.code === status.INTERNAL ? 'failed' : 'refused';
        return { ...about, outcome, reason, message: answer.details };
      }
      if (performance.now() > until) {
        throw new CanNotGoOn(`gave up after ${patience / 1_000} s (${reason}): ${answer.details}`);
      }
      await sleep(Math.max(retryDelay, pause * (0.5 + Math.random() / 2)), undefined, { signal });
    }
  }

  private call(wanted: WantedImport): Promise<ImportSessionResponse> {
    return new Promise((resolve, reject) => {
      const options = { deadline: Date.now() + deadline };
      this.client.importSession(wanted, this.metadata, options, (error, response) => {
        if (error) reject(error);
        else resolve(response);
      });
    });
  }
}

function sessionOf({ session }: ImportSessionResponse) {
  // Protobuf decodes the answer of another service as an empty message.
  if (!session?.sessionId) throw new CanNotGoOn('the answer is not that of Session Import');
  return {
    session_id: session.sessionId,
    session_number: session.sessionNumber,
    shared_from_session: session.sharedFromSession,
  };
}
