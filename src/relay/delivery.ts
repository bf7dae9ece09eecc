import { setTimeout as sleep } from 'node:timers/promises';
import type { LastGood } from '../files/last-good';
import type { SessionEvent } from '../gen/sessionimport/v1/session_events';
import type { Logger } from '../telemetry/log';
import { LogThrottle } from '../telemetry/log-throttle';
import { version } from '../version';
import { bodyOf } from './message';
import type { RelayObserver } from './observer';
import { pauseAfter } from './pauses';
import { post, type Outcome } from './post';
import type { SigningSecrets } from './secrets';

/** The receiver has answered with 410 Gone: it wants no more webhooks. */
export class ReceiverGone extends Error {
  override readonly name = 'ReceiverGone';
}

/** Where webhooks go, and how. */
export interface Receiver {
  readonly target: URL;
  readonly secrets: LastGood<SigningSecrets>;
  /** How long one attempt may take, in milliseconds. */
  readonly timeout: number;
}

/** Delivers events to a receiver. */
export class Delivery {
  private readonly throttle = new LogThrottle();

  /** @param signal ends the waiting between two attempts. An attempt that runs is finished. */
  constructor(
    private readonly receiver: Receiver,
    private readonly log: Logger,
    private readonly signal: AbortSignal,
    private readonly observer: RelayObserver,
  ) {}

  /**
   * Posts an event until the receiver takes it.
   *
   * @returns whether it has been taken: it may not have been when the signal is aborted.
   * @throws ReceiverGone
   */
  async deliver(event: SessionEvent): Promise<boolean> {
    const body = bodyOf(event);
    for (let failures = 0; !this.signal.aborted;) {
      const outcome = await this.attempt(event.eventId, body);
      if (outcome.taken) {
        if (failures > 0)
          this.log.info({ sequence: event.sequence }, 'the receiver takes events again');
        this.throttle.reset();
        this.observer.recovered('receiver');
        return true;
      }
      if (outcome.gone) {
        throw new ReceiverGone(
          'the receiver has answered with 410 Gone, so it wants no more events. If it does, have it answer otherwise, or give its new address as --to',
        );
      }
      failures += 1;
      this.observer.failed('receiver');
      const pause = pauseAfter(failures, outcome.retryAfter);
      if (this.throttle.allows()) {
        this.log.warn(
          { sequence: event.sequence, why: outcome.why, pause_s: Math.round(pause / 1_000) },
          'the receiver does not take an event: it is tried again',
        );
      }
      await sleep(pause, undefined, { signal: this.signal }).catch(() => undefined);
    }
    return false;
  }

  /** Signs it anew each time: receivers refuse timestamps that are old. */
  private attempt(id: string, body: string): Promise<Outcome> {
    const { target, secrets, timeout } = this.receiver;
    const at = new Date();
    const headers = {
      'content-type': 'application/json',
      'user-agent': `session-import/${version}`,
      'webhook-id': id,
      'webhook-timestamp': String(Math.floor(at.getTime() / 1_000)),
      'webhook-signature': secrets.current.sign(id, at, body),
    };
    return post({ target, headers, body, timeout });
  }
}
