import { expect } from 'chai';
import { startMysql, type MysqlServer } from '../../scripts/mysql/server';
import type { Database } from '../../src/db/database';
import type { SessionEvent } from '../../src/gen/sessionimport/v1/session_events';
import { fromBinary, toBinary, type SessionId } from '../../src/model/ids';
import { must } from '../../src/model/must';
import { TestClient } from '../support/client';
import { EventStream, listEvents, quickEvents } from '../support/events';
import {
  createSessions,
  createSigner,
  createTenant,
  type Signer,
  type Tenant,
} from '../support/fixtures';
import { eventually, pause } from '../support/helpers';
import { open, quick } from '../support/mysql';
import { ServiceProcess } from '../support/process';
import { Signal } from '../support/signal';

const writers = 64;

/** How long a writer rests after an import, in milliseconds. */
const rest = 400;

/** How many imports are tried between two faults. */
const betweenFaults = 40;

/** How many imports are tried before a reader that has read everything lists again. */
const betweenLists = 10;

/** A process of the service, which is killed now and then, and another one takes its place. */
class Service {
  port = 0;
  private process: ServiceProcess | undefined;
  private connected: TestClient | undefined;

  constructor(private readonly environment: Readonly<Record<string, string>>) {}

  get client(): TestClient {
    return must(this.connected, 'a client of a process that runs');
  }

  async start(): Promise<void> {
    this.process = await ServiceProcess.serve(this.environment);
    this.port = await this.process.port();
    this.connected = new TestClient(this.port);
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    this.process?.signal(signal);
    await this.process?.ended();
    this.connected?.close();
  }

  async replace(): Promise<void> {
    await this.end('SIGKILL');
    await this.start();
  }
}

describe('the feeds, while services and MySQL are killed', () => {
  let mysql: MysqlServer;
  let db: Database;
  let signer: Signer;
  let services: readonly [Service, Service];
  before(async function () {
    // What is crashed here must not be somebody else's.
    if (process.env['DATABASE_URL']) this.skip();
    mysql = await startMysql({ mysqldArguments: [...quick] });
    db = open(mysql.url);
    await db.migrate.latest();
    signer = await createSigner();
    const environment = {
      ...quickEvents,
      DATABASE_URL: mysql.url,
      SHARE_TOKEN_JWKS: signer.jwks,
      SESSION_BASE_URL: 'https://verify.example.com/session',
    };
    services = [new Service(environment), new Service(environment)];
    await Promise.all(services.map((service) => service.start()));
  });
  after(async () => {
    if (process.env['DATABASE_URL']) return;
    await Promise.all(services.map((service) => service.end('SIGTERM')));
    await signer.remove();
    await db.destroy();
    await mysql.stop();
  });

  it('tell of each import once, without a gap, and all readers read the same', async () => {
    const source = await createTenant(db);
    const importing = [await createTenant(db), await createTenant(db), await createTenant(db)];
    const tenants = [source, ...importing];
    const originals = await createSessions(db, source, 'user', 2_000);

    const progress = new Signal();
    let tried = 0;
    let stopped = false;
    /** Whether nothing is broken at the moment. */
    let whole = true;
    const wholeAgain = () => progress.until(() => whole);

    const write = async (writer: number): Promise<void> => {
      const tenant = must(importing[writer % importing.length], 'an importing application');
      while (!stopped) {
        const original = originals.pop();
        if (!original) return;
        const shareToken = await signer.share(source, tenant, 'user', original);
        const request = { shareToken, workflowId: tenant.workflows.user };
        const { client } = must(services[writer % 2], 'a service');
        // Whether it was made, the ledger says.
        const made = await client.import(tenant.apiKey, request).then(
          () => true,
          () => false,
        );
        tried += 1;
        progress.fire();
        await (made ? pause(rest) : wholeAgain());
      }
    };

    /** The number of the newest event of each feed; empty: more is to come. */
    const last = new Map<Tenant, number>();
    const isRead = (tenant: Tenant, seen: readonly SessionEvent[]): boolean =>
      seen.length >= (last.get(tenant) ?? Number.POSITIVE_INFINITY);

    const list = async (service: Service, tenant: Tenant): Promise<SessionEvent[]> => {
      const seen: SessionEvent[] = [];
      while (!isRead(tenant, seen)) {
        const at = tried;
        const after = seen.at(-1)?.sequence ?? 0;
        const page = await listEvents(service, tenant, { after, pageSize: 7 }).catch(wholeAgain);
        seen.push(...(page?.events ?? []));
        if (page?.events.length === 0)
          await progress.until(() => tried >= at + betweenLists || last.size > 0);
      }
      return seen;
    };

    const watch = async (service: Service, tenant: Tenant): Promise<SessionEvent[]> => {
      const seen: SessionEvent[] = [];
      while (!isRead(tenant, seen)) {
        const stream = new EventStream(service.port, tenant.apiKey, seen.length);
        const known = seen.length;
        const rest = async (): Promise<void> => {
          await progress.until(() => last.size > 0);
          await stream.received((last.get(tenant) ?? 0) - known);
        };
        await Promise.race([stream.ended(), rest()]).catch(wholeAgain);
        stream.close();
        seen.push(...stream.events);
      }
      return seen;
    };

    const reading = tenants.map((tenant) =>
      Promise.all(services.flatMap((service) => [list(service, tenant), watch(service, tenant)])),
    );
    const writing = Promise.all(Array.from({ length: writers }, (_, index) => write(index)));

    const [one, two] = services;
    const crash = async (): Promise<void> => {
      await mysql.crash();
      await mysql.restart();
    };
    for (const fault of [() => one.replace(), crash, () => Promise.all([crash(), two.replace()])]) {
      const from = tried;
      await progress.until(() => tried >= from + betweenFaults);
      whole = false;
      await fault();
      whole = true;
      progress.fire();
    }
    stopped = true;
    await writing;

    await eventually(async () => {
      const waiting = await db('event_outbox').where({ numbered: false }).select('id');
      return waiting.length === 0;
    });
    for (const tenant of tenants) {
      const [row] = await db('session_events')
        .where({ application_id: toBinary(tenant.applicationId) })
        .max<{ readonly last: number }[]>({ last: 'last_sequence' });
      last.set(tenant, must(row, 'a feed').last);
    }
    progress.fire();

    const feeds = await Promise.all(reading);
    for (const [index, readers] of feeds.entries()) {
      const tenant = must(tenants[index], 'an application');
      const [first = []] = readers;
      expect(first.map(({ sequence }) => sequence)).to.deep.equal(first.map((_, at) => at + 1));
      expect(first).to.have.length(last.get(tenant) ?? 0);
      for (const other of readers) expect(other).to.deep.equal(first);
    }
    interface Entry {
      readonly application_id: Buffer;
      readonly source_session_id: Buffer;
      readonly session_id: Buffer;
    }
    const ledger = (await db('session_imports').select()) as Entry[];
    expect(ledger.length).to.be.greaterThan(betweenFaults);
    const [ofSource = [], ...others] = feeds.map(([first = []]) => first);
    expect(ofSource.map(({ sessionId }) => sessionId)).to.have.members(
      ledger.map((entry) => fromBinary<SessionId>(entry.source_session_id)),
    );
    for (const [index, { applicationId }] of importing.entries()) {
      const own = ledger.filter((entry) => entry.application_id.equals(toBinary(applicationId)));
      expect(others[index]?.map(({ sessionId }) => sessionId)).to.have.members(
        own.map((entry) => fromBinary<SessionId>(entry.session_id)),
      );
    }
  });
});
