import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
  SessionShareService,
  ShareSessionRequest,
} from '../../src/gen/sessionimport/v1/session_share';
import { createSession, createTenant, type Tenant } from './fixtures';
import { ServiceProcess } from './process';
import type { Harness } from './service';
import { WebhookReceiver } from './webhook-receiver';

/** A new secret of Standard Webhooks. */
export function newSecret(): string {
  return `whsec_${randomBytes(32).toString('base64')}`;
}

/** The files of a relay, and the relay itself as a process. It can be run again and again. */
export class RelaySetup {
  private readonly processes: ServiceProcess[] = [];

  private constructor(
    private readonly folder: string,
    private readonly connection: readonly string[],
    private readonly environment: Readonly<Record<string, string>>,
  ) {}

  /**
   * @param apiKey of the application whose events are relayed.
   * @param connection the options about TLS to the service.
   */
  static async create(
    port: number,
    { apiKey }: Pick<Tenant, 'apiKey'>,
    secret: string,
    connection: readonly string[] = ['--plaintext'],
    environment: Readonly<Record<string, string>> = {},
  ): Promise<RelaySetup> {
    const folder = await mkdtemp(path.join(tmpdir(), 'session-import-relay-'));
    const where = ['--address', `127.0.0.1:${port}`, ...connection];
    const setup = new RelaySetup(folder, where, environment);
    await setup.write('api-key', `${apiKey}\n`);
    await setup.write('secret', `${secret}\n`);
    return setup;
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

  /** Runs the relay. An option that is given again replaces the usual one. */
  run(to: string, ...options: readonly string[]): ServiceProcess {
    const args = [
      ...['relay', ...this.connection, '--to', to],
      ...['--api-key-file', this.path('api-key'), '--secret-file', this.path('secret')],
      ...['--cursor-file', this.path('cursor'), ...options],
    ];
    const process = ServiceProcess.run(args, this.environment);
    this.processes.push(process);
    return process;
  }

  /** Ends what still runs, and deletes the files. */
  async remove(): Promise<void> {
    for (const process of this.processes) {
      process.signal('SIGKILL');
      await process.ended();
    }
    await rm(this.folder, { recursive: true });
  }
}

/** Who takes part in a test of a relay: two fresh applications, a receiver, and a relay for the first of the two. */
export interface RelayStage extends Parties {
  readonly secret: string;
  readonly receiver: WebhookReceiver;
  readonly setup: RelaySetup;
  close(): Promise<void>;
}

/** Two applications, of which the first one shares, and the service that they call. */
export type Parties = Pick<Harness, 'db' | 'client' | 'source' | 'target'>;

export async function openRelayStage({ db, client, server }: Harness): Promise<RelayStage> {
  const source = await createTenant(db);
  const secret = newSecret();
  const receiver = await WebhookReceiver.open(secret);
  const setup = await RelaySetup.create(server.port, source, secret);
  return {
    ...{ db, client, source, secret, receiver, setup },
    target: await createTenant(db),
    async close() {
      await setup.remove();
      await receiver.close();
    },
  };
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
