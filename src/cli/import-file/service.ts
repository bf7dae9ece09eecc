import { setTimeout as sleep } from 'node:timers/promises';
import { Metadata, status, type ChannelCredentials, type ServiceError } from '@grpc/grpc-js';
import {
  errorDetails,
  serviceConfig,
  type ErrorDetails,
  SessionImportClient,
  type ImportSessionResponse,
} from '../../client';
import { noTlsHint } from '../../model/no-tls';
import type { WantedImport } from './lines';
import type { Outage } from './outage';
import type { Result } from './results';

/** How long one call may take, in milliseconds. */
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

/** How a line is called again while the service can't import it. */
export interface Repeating {
  /** For how long, in milliseconds. */
  readonly patience: number;
  /** Is told why lines wait. */
  readonly outage: Outage;
  /** Ends the waiting between two calls. */
  readonly signal: AbortSignal;
}

/** The service that imports, as the command calls it. */
export class ImportingService {
  private readonly client: SessionImportClient;
  private readonly metadata = new Metadata();
  /** Whether Session Import has answered any call. Then the address and the choice of TLS are right. */
  private reached = false;

  constructor(address: string, credentials: ChannelCredentials, apiKey: string) {
    this.client = new SessionImportClient(address, credentials, {
      'grpc.service_config': serviceConfig,
      // gRPC itself would retry for half a minute before it reports an error.
      'grpc.enable_retries': 0,
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
   * @throws CanNotGoOn if the caller is refused, the patience is over, another service answers, or the service does
   * not speak TLS.
   * @throws AbortError if the signal was aborted during a wait.
   */
  async import(line: number, wanted: WantedImport, repeating: Repeating): Promise<Result> {
    try {
      return await this.repeat(line, wanted, repeating);
    } finally {
      repeating.outage.ended(wanted);
    }
  }

  private async repeat(
    line: number,
    wanted: WantedImport,
    { patience, outage, signal }: Repeating,
  ): Promise<Result> {
    const about = { line, request_id: wanted.requestId };
    const until = performance.now() + patience;
    for (let pause = pauses.first; ; pause = Math.min(2 * pause, pauses.longest)) {
      const answer = await this.call(wanted).catch((error: unknown) => error as ServiceError);
      if (!(answer instanceof Error)) {
        this.reached = true;
        return { ...about, outcome: 'imported', ...sessionOf(answer) };
      }
      const details = errorDetails(answer);
      if (details) this.reached = true;
      else this.requireTls(answer);
      const { reason = status[answer.code], retryDelay = 0 } = details ?? {};
      if (notAboutTheLine.has(reason)) throw new CanNotGoOn(answer.details);
      if (!passing.has(answer.code)) {
        const outcome = answer.code === status.INTERNAL ? 'failed' : 'refused';
        return { ...about, outcome, ...copyOf(details), reason, message: answer.details };
      }
      if (performance.now() > until) {
        throw new CanNotGoOn(`gave up after ${patience / 1_000} s (${reason}): ${answer.details}`);
      }
      outage.waits(wanted, reason, answer.details);
      await sleep(Math.max(retryDelay, pause * (0.5 + Math.random() / 2)), undefined, { signal });
    }
  }

  /**
   * A service that does not speak TLS will not begin to, so waiting is of no use. If only the service speaks TLS, this
   * can't be found out: gRPC just says that it could not connect, as in an outage.
   */
  private requireTls({ details }: ServiceError): void {
    const hint = this.reached ? undefined : noTlsHint(details);
    if (hint !== undefined) throw new CanNotGoOn(hint);
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

/** The earlier copy that is the reason of a refusal, so that nobody has to look for its id in the message. */
function copyOf(details: ErrorDetails | undefined) {
  const { session_id: id, shared_from_session: original } = details?.metadata ?? {};
  if (details?.reason !== 'SESSION_ALREADY_IMPORTED' || !id || !original) return {};
  return { session_id: id, shared_from_session: original };
}

function sessionOf({ session }: ImportSessionResponse) {
  // Protobuf may decode the answer of another service without an error, as a message without a session.
  if (!session?.sessionId) throw new CanNotGoOn('the answer is not that of Session Import');
  return {
    session_id: session.sessionId,
    session_number: session.sessionNumber,
    shared_from_session: session.sharedFromSession,
  };
}
