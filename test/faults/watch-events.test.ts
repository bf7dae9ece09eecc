import { expect } from 'chai';
import { createApiKey } from '../../src/store/accounts';
import { newEvent } from '../../src/model/events';
import { newId, toBinary, type ApplicationId } from '../../src/model/ids';
import { privileges } from '../../src/model/privileges';
import { Watches } from '../../src/rpc/events/watches';
import { failureOf } from '../support/client';
import { EventStream, eventsOf, listEvents, quickEvents, typesOf } from '../support/events';
import { createSession, createTenant, type Tenant } from '../support/fixtures';
import { eventually } from '../support/helpers';
import { reading } from '../support/metrics';
import { startHarness, startProxiedHarness, type Harness } from '../support/service';

/** Records events for a tenant, as calls would: so many calls would take long. */
async function record(
  { db }: Pick<Harness, 'db'>,
  { applicationId: application }: Tenant,
  count: number,
): Promise<void> {
  const owner = { application };
  const events = () =>
    JSON.stringify(
      Array.from({ length: Math.min(count, 500) }, () =>
        newEvent('session_erased', new Date(), { owner }),
      ),
    );
  await db('event_outbox').insert(
    Array.from({ length: Math.ceil(count / 500) }, () => ({
      id: toBinary(newId()),
      events: events(),
    })),
  );
}

describe('a stream of events', () => {
  let harness: Harness;
  let tenant: Tenant;
  const streams: EventStream[] = [];
  const watch = (after = 0, { apiKey } = tenant, { server } = harness): EventStream => {
    const stream = new EventStream(server.port, apiKey, after);
    streams.push(stream);
    return stream;
  };
  const opened = (count: number) =>
    reading(harness.server.metricsPort, 'session_import_event_streams', {}, count);

  before(async () => {
    harness = await startHarness({ environment: quickEvents });
  });
  beforeEach(async () => {
    tenant = await createTenant(harness.db);
  });
  afterEach(async () => {
    for (const stream of streams.splice(0)) stream.close();
    await opened(0);
  });
  after(() => harness.stop());

  it('sends what there is, and then what comes, in order', async () => {
    await record(harness, tenant, 250);
    await eventsOf(harness, tenant, 250);
    const stream = watch();
    await stream.received(250);
    for (let count = 251; count <= 253; count++) {
      await record(harness, tenant, 1);
      await stream.received(count);
    }
    expect(stream.events.map(({ sequence }) => sequence)).to.deep.equal(
      Array.from({ length: 253 }, (_, index) => index + 1),
    );
  });

  it('is accepted at once, also if there is no event: then its header says so, and has its id', async () => {
    const header = await watch().accepted();
    expect(header.get('x-request-id')).to.have.length(1);
  });

  it('begins behind its cursor', async () => {
    await record(harness, tenant, 3);
    await eventsOf(harness, tenant, 3);
    const stream = watch(2);
    const [event] = await stream.received(1);
    expect(event?.sequence).to.equal(3);
  });

  it('ends at once if the cursor is ahead, has expired or is none', async () => {
    await record(harness, tenant, 1);
    await eventsOf(harness, tenant, 1);
    await record(harness, tenant, 1);
    await eventsOf(harness, tenant, 2);
    await harness
      .db('session_events')
      .where({ application_id: toBinary(tenant.applicationId), last_sequence: 1 })
      .delete();
    const reasons = await Promise.all(
      [0, 3, -1].map(async (after) => (await failureOf(watch(after).ended())).reason),
    );
    expect(reasons).to.deep.equal([
      'EVENT_CURSOR_EXPIRED',
      'EVENT_CURSOR_AHEAD',
      'INVALID_REQUEST',
    ]);
  });

  it('ends if the newest events are gone while it waits, as after a restore from a backup', async () => {
    const others = await createTenant(harness.db);
    for (const count of [1, 2]) {
      for (const each of [tenant, others]) {
        await record(harness, each, 1);
        await eventsOf(harness, each, count);
      }
    }
    const ended = [watch(2), watch(2, others)].map((stream) => failureOf(stream.ended()));
    await opened(2);
    const feed = (of: Tenant) =>
      harness.db('session_events').where({ application_id: toBinary(of.applicationId) });
    await feed(tenant).where({ last_sequence: 2 }).delete();
    await feed(others).delete();
    const ends = (await Promise.all(ended)).map(({ reason, metadata }) => [reason, metadata]);
    expect(ends).to.deep.equal([
      ['EVENT_CURSOR_AHEAD', { last_sequence: '1' }],
      ['EVENT_CURSOR_AHEAD', { last_sequence: '0' }],
    ]);
  });

  it('does not begin without a valid key that has the privilege', async () => {
    const { apiKey } = await createApiKey(harness.db, {
      applicationId: tenant.applicationId,
      name: 'without it',
      privileges: privileges.filter((name) => name !== 'read:session-events'),
      expiresAt: null,
    });
    const reasons = await Promise.all(
      ['unknown', apiKey].map(
        async (key) => (await failureOf(watch(0, { ...tenant, apiKey: key }).ended())).reason,
      ),
    );
    expect(reasons).to.deep.equal(['API_KEY_INVALID', 'PRIVILEGE_MISSING']);
  });

  it('ends when its key is revoked, also if nothing happens', async () => {
    const { apiKey, id } = await createApiKey(harness.db, {
      applicationId: tenant.applicationId,
      name: 'to be revoked',
      privileges,
      expiresAt: null,
    });
    await record(harness, tenant, 1);
    const stream = watch(0, { ...tenant, apiKey });
    await stream.received(1);
    await harness
      .db('api_keys')
      .where({ id: toBinary(id) })
      .update({ revoked_at: new Date() });
    expect((await failureOf(stream.ended())).reason).to.equal('API_KEY_INVALID');
  });

  it('ends when its key is revoked while its reader is slow, and sends no other page', async () => {
    const { apiKey, id } = await createApiKey(harness.db, {
      applicationId: tenant.applicationId,
      name: 'to be revoked',
      privileges,
      expiresAt: null,
    });
    await record(harness, tenant, 5_000);
    await eventsOf(harness, tenant, 5_000);
    const stream = watch(0, { ...tenant, apiKey });
    await stream.received(1);
    stream.pause();
    await harness
      .db('api_keys')
      .where({ id: toBinary(id) })
      .update({ revoked_at: new Date() });
    // Until then, a key may be remembered.
    const isRefused = () =>
      listEvents(harness, { ...tenant, apiKey }).then(
        () => false,
        () => true,
      );
    await eventually(isRefused);
    stream.resume();
    expect((await failureOf(stream.ended())).reason).to.equal('API_KEY_INVALID');
    expect(stream.events.length).to.be.below(5_000);
  });

  it('ends well when the service stops, though its reader takes nothing', async () => {
    // The stop waits so long for the peer that does not read.
    const environment = { ...quickEvents, SHUTDOWN_GRACE: '2' };
    const own = await startHarness({ environment });
    try {
      await record(own, tenant, 5_000);
      await eventsOf(own, tenant, 5_000);
      const silent = watch(0, tenant, own);
      await silent.received(1);
      silent.pause();
      const idle = watch(5_000, tenant, own);
      await reading(own.server.metricsPort, 'session_import_event_streams', {}, 2);
      const stopped = own.server.stop();
      await idle.ended();
      await stopped;
    } finally {
      await own.stop();
    }
  });

  it('that is not read waits, holds up nobody, and loses nothing', async () => {
    await record(harness, tenant, 5_000);
    await eventsOf(harness, tenant, 5_000);
    const silent = watch();
    await silent.received(1);
    silent.pause();
    const other = watch();
    expect(await other.received(5_000)).to.have.length(5_000);
    // What the library and the network hold, but not all of it.
    expect(silent.events.length).to.be.below(5_000);
    silent.resume();
    expect(await silent.received(5_000)).to.deep.equal(other.events);
  });

  it('is refused if the application has a hundred already, and another application is not', async () => {
    for (let count = 0; count < 100; count++) watch();
    await opened(100);
    const failure = await failureOf(watch().ended());
    expect(failure).to.include({ code: 'RESOURCE_EXHAUSTED', reason: 'TOO_MANY_WATCHES' });
    expect(failure.retry?.retryDelay?.seconds).to.equal(1);
    const other = await createTenant(harness.db);
    await record(harness, other, 1);
    await watch(0, other).received(1);
  });

  it('tells only what belongs to its application', async () => {
    const { db, client, signer, source } = harness;
    const bystander = watch(0, await createTenant(db));
    const stream = watch();
    await opened(2);
    await client.import(tenant.apiKey, {
      shareToken: await signer.share(
        source,
        tenant,
        'user',
        await createSession(db, source, 'user'),
      ),
      workflowId: tenant.workflows.user,
    });
    expect(typesOf(await stream.received(1))).to.deep.equal(['SESSION_IMPORTED']);
    expect(bystander.events).to.deep.equal([]);
  });
});

describe('two hundred streams of events', () => {
  it('of some applications take one look for all of them, each time', async () => {
    const harness = await startProxiedHarness(quickEvents);
    const streams: EventStream[] = [];
    try {
      const tenants = await Promise.all(Array.from({ length: 4 }, () => createTenant(harness.db)));
      for (const tenant of tenants) {
        for (let count = 0; count < 50; count++)
          streams.push(new EventStream(harness.server.port, tenant.apiKey));
        await record(harness, tenant, 1);
      }
      await Promise.all(streams.map((stream) => stream.received(1)));
      // All wait now: none reads by itself any more.
      let looks = 0;
      let reads = 0;
      harness.proxy.intercept = ({ sql }) => {
        if (!sql.includes('FROM session_events')) return;
        // The hub looks at the feeds together. A stream asks for the newest event as well.
        if (sql.includes('ORDER BY application_id DESC')) reads += 1;
        else looks += 1;
      };
      for (const tenant of tenants) await record(harness, tenant, 3);
      await Promise.all(streams.map((stream) => stream.received(4)));
      await eventually(() => Promise.resolve(looks >= 10));
      // Numbering looks up the newest events once for each of its rounds.
      expect(reads).to.be.below(10);
      for (const { events } of streams)
        expect(events.map(({ sequence }) => sequence)).to.deep.equal([1, 2, 3, 4]);
    } finally {
      for (const stream of streams) stream.close();
      await harness.stop();
    }
  });
});

describe('the places for streams of events', () => {
  it('are left for other applications: the fewer there are, the fewer may one have', () => {
    const watches = new Watches();
    const taken = Array.from({ length: 40 }, () => {
      const id = newId<ApplicationId>();
      for (let own = 0; ; own++) {
        try {
          watches.enter(id);
        } catch {
          return own;
        }
      }
    });
    expect(taken.slice(0, 9)).to.deep.equal(Array.from({ length: 9 }, () => 100));
    // Halves of what is left.
    expect(taken.slice(9, 16)).to.deep.equal([50, 25, 13, 6, 3, 2, 1]);
    expect(watches.count).to.be.at.most(1_000);
  });

  it('are free again once their streams have ended', () => {
    const watches = new Watches();
    const id = newId<ApplicationId>();
    const leave = Array.from({ length: 100 }, () => watches.enter(id));
    for (const one of leave) one();
    expect(watches.count).to.equal(0);
    for (let count = 0; count < 100; count++) watches.enter(id);
  });
});
