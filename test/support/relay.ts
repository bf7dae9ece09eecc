import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { credentials } from '@grpc/grpc-js';
import {
  SessionShareService,
  ShareSessionRequest,
} from '../../src/gen/sessionimport/v1/session_share';
import { RelayMetrics } from '../../src/metrics/relay-metrics';
import { must } from '../../src/model/must';
import type { FeedService } from '../../src/relay/feed';
import { relay, type RelayOptions } from '../../src/relay/relay';
import { createLogger } from '../../src/telemetry/log';
import type { Identity } from './certificates';
import { createSession, createTenant, type Tenant } from './fixtures';
import { LogLines } from './log-lines';
import { ServiceProcess } from './process';
import type { Harness } from './service';
import { WebhookReceiver } from './webhook-receiver';

/** A new secret of Standard Webhooks. */
export function newSecret(): string {
  return `whsec_${randomBytes(32).toString('base64')}`;
}

/** A relay in this process. */
export class RunningRelay extends LogLines {
  readonly metrics = new RelayMetrics();
  private readonly stopping = new AbortController();
  private readonly ended: Promise<Error | undefined>;

  constructor(options: RelayOptions) {
    super();
    const write = (line: string): void => {
      this.addLine(line.trimEnd());
    };
    const log = createLogger({ level: 'info', format: 'json' }, { write });
    this.ended = relay(options, log, this.stopping.signal, this.metrics)
      .then(
        () => undefined,
        (error: unknown) => error as Error,
      )
      .finally(() => {
        this.endLog();
      });
  }

  /** Waits until it has ended by itself, and returns why. */
  async failure(): Promise<Error> {
    return must(await this.ended, 'an error of the relay');
  }

  /** Stops it. Rejects if it has ended with an error. */
  async stop(): Promise<void> {
    this.stopping.abort();
    const error = await this.ended;
    if (error) throw error;
  }

  protected async whyEnded(): Promise<string> {
    return (await this.ended)?.message ?? 'it was stopped';
  }
}

/** What differs from the usual around a relay that runs as a process. */
export interface RelaySurroundings {
  /** The options about TLS to the service. */
  readonly connection?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** For TLS to the receiver. */
  readonly identity?: Identity;
}

/** What is around a relay: its files and its receiver. It can be run again and again. */
export class RelaySetup {
  private readonly ends: (() => Promise<unknown>)[] = [];

  private constructor(
    private readonly folder: string,
    private readonly address: string,
    private readonly surroundings: RelaySurroundings,
    readonly secret: string,
    private readonly to: string,
    /** Who gets the events; a test may put another one in its place. */
    public receiver: WebhookReceiver,
  ) {}

  /** @param apiKey of the application whose events are relayed. */
  static async open(
    port: number,
    { apiKey }: Pick<Tenant, 'apiKey'>,
    surroundings: RelaySurroundings = {},
  ): Promise<RelaySetup> {
    const folder = await mkdtemp(path.join(tmpdir(), 'session-import-relay-'));
    const secret = newSecret();
    const receiver = await WebhookReceiver.open(secret, 0, surroundings.identity);
    const address = `127.0.0.1:${port}`;
    const setup = new RelaySetup(folder, address, surroundings, secret, receiver.url, receiver);
    await setup.write('api-key', `${apiKey}\n`);
    await setup.write('secret', `${secret}\n`);
    return setup;
  }

  /** The service that the relay reads from, as a relay in this process calls it. */
  get service(): FeedService {
    return {
      address: this.address,
      credentials: () => credentials.createInsecure(),
      apiKeyFile: this.path('api-key'),
    };
  }

  path(name: string): string {
    return path.join(this.folder, name);
  }

  write(name: string, text: string): Promise<void> {
    return writeFile(this.path(name), text);
  }

  /** The number in the cursor file. */
  async cursor(): Promise<unknown> {
    return (JSON.parse(await readFile(this.path('cursor'), 'utf8')) as { after: unknown }).after;
  }

  /** Runs the relay in this process, which takes no start. */
  start(options: Partial<RelayOptions> = {}): RunningRelay {
    const running = new RunningRelay({
      service: this.service,
      to: this.to,
      allowPlaintext: false,
      secretFile: this.path('secret'),
      cursorFile: this.path('cursor'),
      timeout: 15_000,
      ...options,
    });
    this.ends.push(() => running.stop().catch(() => undefined));
    return running;
  }

  /** Runs the relay as a process. An option that is given again replaces the usual one. */
  run(...options: readonly string[]): ServiceProcess {
    const { connection = ['--plaintext'], environment = {} } = this.surroundings;
    const args = [
      ...['relay', '--address', this.address, ...connection, '--to', this.to],
      ...['--api-key-file', this.path('api-key'), '--secret-file', this.path('secret')],
      ...['--cursor-file', this.path('cursor'), ...options],
    ];
    const process = ServiceProcess.run(args, environment);
    this.ends.push(() => {
      process.signal('SIGKILL');
      return process.ended();
    });
    return process;
  }

  /** Ends what still runs, and deletes the files. */
  async close(): Promise<void> {
    await this.receiver.close();
    for (const end of this.ends) await end();
    await rm(this.folder, { recursive: true });
  }
}

/** Two applications, of which the first one shares, and the service that they call. */
export type Parties = Pick<Harness, 'db' | 'client' | 'source' | 'target'>;

/** Two fresh applications, and what is around a relay for the first of the two. */
export interface RelayStage extends Parties {
  readonly setup: RelaySetup;
}

export async function openRelayStage({ db, client, server }: Harness): Promise<RelayStage> {
  const [source, target] = [await createTenant(db), await createTenant(db)];
  return { db, client, source, target, setup: await RelaySetup.open(server.port, source) };
}

/** Shares a session so many times: each is an event for both applications. */
export async function shareTimes(
  { db, client, source, target }: Parties,
  count: number,
): Promise<void> {
  const request = ShareSessionRequest.fromPartial({
    sessionId: await createSession(db, source, 'user'),
    forApplicationId: target.applicationId,
  });
  await Promise.all(
    Array.from({ length: count }, () =>
      client.call(SessionShareService.shareSession, source.apiKey, request),
    ),
  );
}
