import { setTimeout as sleep } from 'node:timers/promises';
import { LastGood } from '../files/last-good';
import { readSmallFile } from '../files/small-file';
import type { Logger } from '../telemetry/log';
import { LogThrottle } from '../telemetry/log-throttle';
import { CursorFile } from './cursor-file';
import { Delivery } from './delivery';
import { eventsAfter, readApiKey, type FeedService } from './feed';
import { FeedFailure } from './feed-errors';
import type { RelayObserver } from './observer';
import { pauseAfter } from './pauses';
import { SigningSecrets } from './secrets';
import { targetOf } from './target';

export { CursorUnusable } from './feed-errors';

/** How often the secrets are read again, in milliseconds. */
const secretInterval = 1_000;

/** A connection that has lasted for this long, in milliseconds, has not failed: the service ends connections by age. */
const steady = 10_000;

/** What a relay is told. */
export interface RelayOptions {
  readonly service: FeedService;
  /** The URL that events are posted to. */
  readonly to: string;
  /** Whether plain http is allowed beyond loopback. */
  readonly allowPlaintext: boolean;
  readonly secretFile: string;
  readonly cursorFile: string;
  /** The cursor to begin with, in place of the one in the file. */
  readonly after?: number | undefined;
  /** How long one attempt to post an event may take, in milliseconds. */
  readonly timeout: number;
}

/**
 * Posts the events of an application to a URL, each at least once, and in their order, until the signal is aborted.
 * Receiver and service may be away for any time.
 *
 * @throws CursorUnusable
 * @throws ReceiverGone
 * @throws Error if a file can't be read at the start, or the cursor can't be stored.
 */
export async function relay(
  options: RelayOptions,
  log: Logger,
  signal: AbortSignal,
  observer: RelayObserver,
): Promise<void> {
  const target = targetOf(options.to, options.allowPlaintext);
  await requireFiles(options.service);
  const secrets = await watchSecrets(options.secretFile, log);
  try {
    const cursorFile = await CursorFile.open(options.cursorFile, options.after);
    const { after } = cursorFile.current;
    observer.began(after);
    log.info(
      {
        address: options.service.address,
        to: target.origin,
        after,
        secrets: secrets.current.count,
      },
      'relaying',
    );
    signal.addEventListener('abort', () => {
      log.info('stopping: finishing what runs');
    });
    const receiver = { target, secrets, timeout: options.timeout };
    const delivery = new Delivery(receiver, log, signal, observer);
    await new Relay(options.service, cursorFile, delivery, log, signal, observer).run();
    log.info({ after: cursorFile.current.after }, 'stopped');
  } finally {
    secrets.close();
  }
}

/** If a file is wrong at the start, that is a mistake, and waiting does not help. */
async function requireFiles({ apiKeyFile, credentials }: FeedService): Promise<void> {
  await readApiKey(apiKeyFile);
  credentials();
}

async function watchSecrets(file: string, log: Logger): Promise<LastGood<SigningSecrets>> {
  const load = async (current?: SigningSecrets): Promise<SigningSecrets> => {
    const text = await readSmallFile(file);
    return current?.text === text ? current : SigningSecrets.parse(text);
  };
  const first = await load().catch((error: unknown) => {
    throw new Error(`--secret-file: ${(error as Error).message}`, { cause: error });
  });
  const reloading = {
    load,
    interval: secretInterval,
    loaded: (secrets: SigningSecrets, changed: boolean) => {
      if (changed) log.info({ secrets: secrets.count }, 'the secrets have changed');
    },
    complaint: 'could not read the secrets; the old ones stay in use',
  };
  return new LastGood(first, reloading, log);
}

/** How a connection to the service has ended. */
interface Ending {
  /** Undefined: the service has ended it well, or the relay is to stop. */
  readonly failure: FeedFailure | undefined;
  /** Whether it has lasted before that: then its end is no failure. */
  readonly hasLasted: boolean;
}

/** Reads the feed, over one connection after the other. */
class Relay {
  private readonly throttle = new LogThrottle();
  /** How many connections have failed since the last event. */
  private failures = 0;

  constructor(
    private readonly service: FeedService,
    private readonly cursorFile: CursorFile,
    private readonly delivery: Delivery,
    private readonly log: Logger,
    private readonly signal: AbortSignal,
    private readonly observer: RelayObserver,
  ) {}

  async run(): Promise<void> {
    while (!this.signal.aborted) await this.pause(await this.deliverAll());
  }

  /** Delivers what comes over one connection. */
  private async deliverAll(): Promise<Ending> {
    const { cursorFile, delivery, observer, service, signal } = this;
    let hasLasted = false;
    let lasting: NodeJS.Timeout | undefined;
    // From here on: until the service has accepted the stream, waiting for it is no connection that lasts.
    const accepted = (): void => {
      lasting = setTimeout(() => {
        hasLasted = true;
        observer.recovered('service');
      }, steady);
    };
    let isEmpty = true;
    try {
      for await (const event of eventsAfter(cursorFile.current, service, signal, accepted)) {
        isEmpty = false;
        observer.recovered('service');
        if (!(await delivery.deliver(event))) break;
        await cursorFile.store({ after: event.sequence, event_id: event.eventId });
        observer.delivered(event);
        this.failures = 0;
        this.throttle.reset();
      }
      const failure = isEmpty
        ? new FeedFailure('the service has ended the stream without an event')
        : undefined;
      return { failure, hasLasted };
    } catch (error) {
      if (error instanceof FeedFailure) return { failure: error, hasLasted };
      throw error;
    } finally {
      clearTimeout(lasting);
    }
  }

  private async pause({ failure, hasLasted }: Ending): Promise<void> {
    if (this.signal.aborted) return;
    if (hasLasted) this.failures = 0;
    this.failures += 1;
    const pause = pauseAfter(this.failures, failure?.retryDelay);
    if (failure && !hasLasted) {
      this.observer.failed('service');
      if (this.throttle.allows()) {
        this.log.warn(
          { reason: failure.reason, why: failure.message, pause_s: Math.round(pause / 1_000) },
          'the feed can not be read: it is tried again',
        );
      }
    }
    await sleep(pause, undefined, { signal: this.signal }).catch(() => undefined);
  }
}
