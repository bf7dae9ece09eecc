import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:net';
import { expect } from 'chai';
import { newId, toBinary } from '../../src/model/ids';
import { privileges } from '../../src/model/privileges';
import { CursorUnusable, type RelayOptions } from '../../src/relay/relay';
import { createApiKey, revokeApiKey } from '../../src/store/accounts';
import { startWithMutualTls } from '../clients/run-example';
import { CertificateAuthority } from '../support/certificates';
import { eventsOf, listEvents, quickEvents } from '../support/events';
import { createSession, createTenant, type Tenant } from '../support/fixtures';
import { eventually, pause } from '../support/helpers';
import { Passage } from '../support/passage';
import {
  newSecret,
  openRelayStage,
  RelaySetup,
  shareTimes,
  type RelayStage,
} from '../support/relay';
import { startHarness, type Harness } from '../support/service';
import { serverNames } from '../support/tls';
import { withdraw } from '../support/withdrawals';
import { WebhookReceiver, type Answer } from '../support/webhook-receiver';

/** The numbers from one to another. */
const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, index) => from + index);

const notTaken = 'the receiver does not take an event: it is tried again';
const notRead = 'the feed can not be read: it is tried again';

describe('a relay', () => {
  let harness: Harness;
  let stage: RelayStage;
  let source: Tenant;
  let setup: RelaySetup;
  let receiver: WebhookReceiver;
  before(async () => {
    harness = await startHarness({ environment: quickEvents });
  });
  beforeEach(async () => {
    stage = await openRelayStage(harness);
    ({ source, setup } = stage);
    ({ receiver } = setup);
  });
  afterEach(() => setup.close());
  after(() => harness.stop());

  /** The ids of all events of a tenant, in order. */
  async function allIdsOf(tenant: Tenant): Promise<string[]> {
    const ids: string[] = [];
    for (;;) {
      const { events } = await listEvents(harness, tenant, { after: ids.length });
      if (events.length === 0) return ids;
      ids.push(...events.map(({ eventId }) => eventId));
    }
  }

  /** Runs a relay that has to end by itself, since its cursor does not fit the feed. Returns what it says. */
  async function unusable(options?: Partial<RelayOptions>): Promise<string> {
    const failure = await setup.start(options).failure();
    expect(failure).to.be.an.instanceOf(CursorUnusable);
    return failure.message;
  }

  /** Answers the first requests in some way, and takes all others. */
  const answerFirst = (...answers: readonly (Answer | Promise<Answer>)[]): void => {
    const left = [...answers];
    receiver.answer = () => left.shift() ?? { status: 200, body: 'thanks' };
  };

  it('delivers every event once and in order: what there is, and what comes', async () => {
    await shareTimes(stage, 110);
    await eventsOf(harness, source, 110);
    const relay = setup.start();
    await receiver.until(() => receiver.taken.length === 110);
    await shareTimes(stage, 10);
    await receiver.until(() => receiver.taken.length === 120);
    expect(receiver.taken).to.deep.equal(range(1, 120));
    const ids = receiver.received.map(({ headers }) => headers['webhook-id']);
    expect(ids).to.deep.equal(await allIdsOf(source));
    await relay.stop();
    expect(await setup.cursor()).to.equal(120);
  });

  it('says of each event what the feed says', async () => {
    const { client, target, db } = stage;
    const sessionId = await createSession(db, source, 'user');
    const shareToken = await harness.signer.share(source, target, 'user', sessionId);
    await client.import(target.apiKey, { shareToken, workflowId: target.workflows.user });
    const [event] = await eventsOf(harness, source, 1);
    setup.start();
    await receiver.until(() => receiver.taken.length === 1);
    const [{ headers, message } = {}] = receiver.received;
    expect(message).to.deep.equal({
      type: 'session.imported',
      timestamp: event?.createdAt?.toISOString(),
      data: {
        event_id: event?.eventId,
        sequence: 1,
        own_side: 'source',
        session_id: sessionId,
        session_kind: 'user',
        other_application_id: target.applicationId,
        ...(event?.shareTokenId === undefined ? {} : { share_token_id: event.shareTokenId }),
      },
    });
    expect(headers).to.include({
      'webhook-id': event?.eventId,
      'content-type': 'application/json',
    });
    expect(headers?.['user-agent']).to.match(/^session-import\/\d/);
  });

  it('waits for a receiver that is down, refuses or is slow, and then goes on in order', async () => {
    await shareTimes(stage, 3);
    const { port } = receiver;
    await receiver.close();
    const relay = setup.start({ timeout: 100 });
    expect(await relay.logged(notTaken)).to.include({ sequence: 1, why: 'ECONNREFUSED' });
    receiver = setup.receiver = await WebhookReceiver.open(setup.secret, port);
    const never = new Promise<Answer>(() => undefined);
    answerFirst({ status: 500 }, { status: 200 }, never);
    await receiver.until(() => receiver.taken.length === 3);
    expect(receiver.received.map(({ status }) => status)).to.deep.equal([500, 200, 200, 200]);
    expect(receiver.taken).to.deep.equal([1, 2, 3]);
    await relay.logged('the receiver takes events again');
    const texts = relay.logLines.join('\n');
    expect(texts).to.include('no answer within 0.1 seconds');
  });

  it('takes the answer of a receiver for what it is, however long it is', async () => {
    await shareTimes(stage, 2);
    receiver.answer = () => ({ status: 202, body: 'x'.repeat(1_000_000) });
    setup.start();
    await receiver.until(() => receiver.received.length === 2);
    expect(receiver.taken).to.deep.equal([1, 2]);
  });

  it('is not held up by an answer that never ends', async () => {
    await shareTimes(stage, 2);
    const taken: string[] = [];
    const endless = createHttpServer((request, response) => {
      taken.push(String(request.headers['webhook-id']));
      response.write('thanks');
      request.resume();
    });
    await once(endless.listen(0, '127.0.0.1'), 'listening');
    const { port } = endless.address() as { port: number };
    const relay = setup.start({ to: `http://127.0.0.1:${port}/`, timeout: 300_000 });
    await eventually(async () => (await setup.cursor().catch(() => 0)) === 2);
    await relay.stop();
    endless.closeAllConnections();
    endless.close();
    expect(taken).to.deep.equal(await allIdsOf(source));
  });

  it('follows no redirect', async () => {
    await shareTimes(stage, 1);
    answerFirst({ status: 307, headers: { location: `${receiver.url}/elsewhere` } });
    const relay = setup.start();
    const { why } = await relay.logged(notTaken);
    expect(why).to.equal('it answers with HTTP status 307, which is not followed');
    await receiver.until(() => receiver.taken.length === 1);
    expect(receiver.received).to.have.length(2);
  });

  it('says why, also if the answer is one that fetch itself refuses', async () => {
    await shareTimes(stage, 1);
    answerFirst({ status: 407 });
    const relay = setup.start();
    expect((await relay.logged(notTaken))['why']).to.equal('fetch failed');
  });

  it('waits for as long as a receiver asks for, up to an hour, and stops meanwhile if it has to', async () => {
    await shareTimes(stage, 1);
    for (const [asked, kept] of [
      ['90', 90],
      ['86400', 3_600],
    ] as const) {
      answerFirst({ status: 429, headers: { 'retry-after': asked } });
      const relay = setup.start();
      expect(await relay.logged(notTaken)).to.include({ pause_s: kept });
      await relay.stop();
      expect(await setup.cursor()).to.equal(0);
    }
    expect(receiver.received).to.have.length(2);
  });

  it('ends with an error if the receiver is gone', async () => {
    await shareTimes(stage, 2);
    answerFirst({ status: 200 }, { status: 410 });
    const relay = setup.start();
    const { message } = await relay.failure();
    expect(message).to.include('410 Gone');
    expect(await setup.cursor()).to.equal(1);
  });

  it('tells of a withdrawal that was made while it was away', async () => {
    const { client, target, db } = stage;
    const original = await createSession(db, target, 'user');
    const shareToken = await harness.signer.share(target, source, 'user', original);
    await client.import(source.apiKey, { shareToken, workflowId: source.workflows.user });
    const relay = setup.start();
    await receiver.until(() => receiver.taken.length === 1);
    await relay.stop();
    await withdraw(stage, target, original);
    await eventsOf(harness, source, 2);
    setup.start();
    await receiver.until(() => receiver.taken.length === 2);
    expect(receiver.received.map(({ message }) => message.type)).to.deep.equal([
      'session.imported',
      'source.withdrawn',
    ]);
  });

  it('is not held up by a receiver that hangs up', async () => {
    await shareTimes(stage, 1);
    const rude = createServer((socket) => {
      socket.destroy();
    });
    await once(rude.listen(0, '127.0.0.1'), 'listening');
    const { port } = rude.address() as { port: number };
    const relay = setup.start({ to: `http://127.0.0.1:${port}/` });
    expect(await relay.logged(notTaken)).to.include({ sequence: 1 });
    await relay.stop();
    rude.close();
  });

  it('signs with both secrets of its file while they change', async () => {
    await shareTimes(stage, 1);
    const next = newSecret();
    await setup.write('secret', `${next}\n${setup.secret}\n`);
    const relay = setup.start();
    await receiver.until(() => receiver.taken.length === 1);
    receiver.secret = next;
    await shareTimes(stage, 1);
    await receiver.until(() => receiver.taken.length === 2);
    const signatures = receiver.received.map(({ headers }) =>
      String(headers['webhook-signature']).split(' '),
    );
    expect(signatures.map(({ length }) => length)).to.deep.equal([2, 2]);
    await relay.stop();
  });

  it('takes a new secret while it runs, and keeps the old one if the new one is none', async () => {
    const relay = setup.start();
    await relay.logged('relaying');
    await setup.write('secret', 'whsec_oops\n');
    const complaint = 'could not read the secrets; the old ones stay in use';
    const { why } = await relay.logged(complaint);
    expect(why).to.include('line 1 is no secret').and.not.to.include('oops');
    await shareTimes(stage, 1);
    await receiver.until(() => receiver.taken.length === 1);
    receiver.secret = newSecret();
    await setup.write('secret', `${receiver.secret}\n`);
    await relay.logged('the secrets have changed');
    await shareTimes(stage, 1);
    await receiver.until(() => receiver.taken.length === 2);
    expect(receiver.taken).to.deep.equal([1, 2]);
  });

  it('waits while its key is refused, and goes on with the one that is in the file then', async () => {
    const { db } = harness;
    const grant = { applicationId: source.applicationId, name: 'relay', expiresAt: null };
    const first = await createApiKey(db, { ...grant, privileges: ['read:session-events'] });
    const poor = await createApiKey(db, { ...grant, privileges: ['read:sessions'] });
    await setup.write('api-key', first.apiKey);
    await shareTimes(stage, 1);
    const relay = setup.start();
    await receiver.until(() => receiver.taken.length === 1);
    await setup.write('api-key', poor.apiKey);
    await revokeApiKey(db, first.id);
    await relay.line((line) => line.includes('API_KEY_INVALID'));
    await setup.write('api-key', source.apiKey);
    await shareTimes(stage, 1);
    await receiver.until(() => receiver.taken.length === 2);
    expect(receiver.taken).to.deep.equal([1, 2]);
    expect(relay.logLines.join()).not.to.include(first.apiKey).and.not.to.include(poor.apiKey);
  });

  it('says that its key lacks the privilege', async () => {
    const { apiKey } = await createApiKey(harness.db, {
      applicationId: source.applicationId,
      name: 'poor',
      privileges: privileges.filter((name) => name !== 'read:session-events'),
      expiresAt: null,
    });
    await setup.write('api-key', apiKey);
    const relay = setup.start();
    const { reason, why } = await relay.logged(notRead);
    expect(reason).to.equal('PRIVILEGE_MISSING');
    expect(why).to.include('read:session-events');
  });

  it('goes on when the service is back', async () => {
    const passage = await Passage.open(harness.server.port);
    const own = await RelaySetup.open(passage.port, source);
    await shareTimes(stage, 2);
    const relay = own.start();
    await own.receiver.until(() => own.receiver.taken.length === 2);
    await passage.close();
    await relay.logged(notRead);
    await shareTimes(stage, 2);
    await passage.openAgain();
    await own.receiver.until(() => own.receiver.taken.length === 4);
    expect(own.receiver.taken).to.deep.equal([1, 2, 3, 4]);
    await own.close();
    await passage.close();
  });

  it('ends if events after its cursor are gone, and goes on where it is told to', async () => {
    await shareTimes(stage, 1);
    await eventsOf(harness, source, 1);
    await shareTimes(stage, 1);
    await eventsOf(harness, source, 2);
    await harness
      .db('session_events')
      .where({ application_id: toBinary(source.applicationId), last_sequence: 1 })
      .delete();
    expect(await unusable())
      .to.include('events after 0 have been deleted')
      .and.include('--after 1');
    expect(receiver.received).to.deep.equal([]);
    expect(await setup.cursor()).to.equal(0);
    setup.start({ after: 1 });
    await receiver.until(() => receiver.taken.length === 1);
    expect(receiver.taken).to.deep.equal([2]);
  });

  it('ends if its cursor is ahead of the feed', async () => {
    await shareTimes(stage, 2);
    await eventsOf(harness, source, 2);
    expect(await unusable({ after: 7 }))
      .to.include('the newest event of the feed is 2')
      .and.include('--after 2');
    // It stays: without anybody who looks, nothing is delivered.
    expect(await unusable()).to.include('the cursor is 7');
    expect(receiver.received).to.deep.equal([]);
  });

  it('ends if the feed is another one than the one that it has delivered', async () => {
    await shareTimes(stage, 2);
    const relay = setup.start();
    await receiver.until(() => receiver.taken.length === 2);
    await relay.stop();
    const other = await createTenant(harness.db);
    await shareTimes({ ...stage, source: other }, 3);
    await eventsOf(harness, other, 3);
    await setup.write('api-key', other.apiKey);
    expect(await unusable()).to.include('event 2 of the feed is not the one that was delivered');
    expect(receiver.taken).to.deep.equal([1, 2]);
  });

  it('ends if the feed becomes another one behind an open stream, as after a failover that has lost events', async () => {
    const { db } = harness;
    await shareTimes(stage, 1);
    const relay = setup.start();
    await receiver.until(() => receiver.taken.length === 1);
    const [event] = await eventsOf(harness, source, 1);
    await db('session_events')
      .where({ application_id: toBinary(source.applicationId) })
      .update({ events: db.raw('REPLACE(events, ?, ?)', [event?.eventId ?? '', newId()]) });
    // No failover is faster.
    await pause(1_100);
    await shareTimes(stage, 1);
    const failure = await relay.failure();
    expect(failure).to.be.an.instanceOf(CursorUnusable);
    expect(failure.message).to.include('event 1 of the feed is not the one that was delivered');
    expect(receiver.taken).to.deep.equal([1]);
  });

  it('delivers again what it is told to, from the beginning', async () => {
    await shareTimes(stage, 2);
    const relay = setup.start();
    await receiver.until(() => receiver.taken.length === 2);
    await relay.stop();
    setup.start({ after: 0 });
    await receiver.until(() => receiver.taken.length === 4);
    expect(receiver.taken).to.deep.equal([1, 2, 1, 2]);
  });

  it('does not start with a cursor file that is none, and leaves it as it is', async () => {
    for (const content of ['', '{"after":1,"more":2}']) {
      await setup.write('cursor', content);
      const relay = setup.start({ after: 0 });
      const { message } = await relay.failure();
      expect(message).to.include('is no cursor file');
      expect(await readFile(setup.path('cursor'), 'utf8')).to.equal(content);
    }
  });

  it('ends if others write its cursor file', async () => {
    await shareTimes(stage, 1);
    const relay = setup.start();
    receiver.answer = async () => {
      await writeFile(setup.path('cursor'), '{"after":0}\n\n');
      return { status: 204 };
    };
    const { message } = await relay.failure();
    expect(message).to.include('give each relay a cursor file of its own');
  });

  it('does not start with a URL or a file that is of no use, and repeats nothing of it', async () => {
    const none = setup.path('none');
    await setup.write('none', 'two words\n');
    const service = { ...setup.service, apiKeyFile: none };
    for (const [problem, options] of [
      ['no user and no password', { to: 'https://ada:hush@example.com/' }],
      ['an API key, and nothing else', { service }],
      ['line 1 is no secret', { secretFile: none }],
      ['no such file', { cursorFile: setup.path('missing/cursor') }],
    ] as const) {
      const relay = setup.start(options);
      const { message } = await relay.failure();
      expect(message).to.include(problem);
      expect(message + relay.logLines.join()).not.to.match(/hush|two words/);
    }
  });

  it('says nothing of secrets, of the key, or of what is private in a URL', async () => {
    await shareTimes(stage, 1);
    answerFirst({ status: 500, body: 'no entry' });
    const relay = setup.start({ to: `${receiver.url}?token=hush-hush` });
    await receiver.until(() => receiver.taken.length === 1);
    await relay.stop();
    const texts = relay.logLines.join('\n');
    expect(texts).to.include(`http://127.0.0.1:${receiver.port}`);
    for (const text of [source.apiKey, setup.secret.slice(10), 'hush', '/events', 'no entry']) {
      expect(texts).not.to.include(text);
    }
  });

  describe('as a process', () => {
    it('killed between an answer and its cursor delivers the event again, and then the others', async () => {
      await shareTimes(stage, 4);
      const relay = setup.run();
      receiver.answer = async ({ data }) => {
        if (data.sequence === 2) {
          relay.signal('SIGKILL');
          await relay.ended();
        }
        return { status: 204 };
      };
      await receiver.until(() => receiver.taken.at(-1) === 2);
      expect(await setup.cursor()).to.equal(1);
      receiver.answer = () => ({ status: 204 });
      setup.start();
      await receiver.until(() => receiver.taken.at(-1) === 4);
      expect(receiver.taken).to.deep.equal([1, 2, 2, 3, 4]);
      const ids = receiver.received.map(({ headers }) => headers['webhook-id']);
      expect(new Set(ids).size).to.equal(4);
    });

    it('finishes what it posts when it is told to stop, and posts nothing after it', async () => {
      await shareTimes(stage, 2);
      const relay = setup.run();
      const arrived = new Promise<() => void>((arrive) => {
        receiver.answer = () =>
          new Promise((answer) => {
            arrive(() => {
              answer({ status: 204 });
            });
          });
      });
      const goOn = await arrived;
      relay.signal('SIGTERM');
      relay.signal('SIGINT');
      await relay.logged('stopping: finishing what runs');
      goOn();
      expect(await relay.ended()).to.equal(0);
      expect(receiver.taken).to.deep.equal([1]);
      expect(await setup.cursor()).to.equal(1);
      expect(await relay.logged('stopped')).to.include({ after: 1 });
      for (const line of relay.logLines) expect(JSON.parse(line)).to.include.keys('time', 'msg');
      expect(relay.errors).to.equal('');
    });

    it('ends with code 3 if its cursor does not fit the feed', async () => {
      const relay = setup.run('--after', '7');
      expect(await relay.ended()).to.equal(3);
      expect(relay.errors).to.match(/^session-import: the cursor is 7, .* --after 0\n$/);
    });

    it('ends with code 1 for another reason, and says nothing of a database, which it has none of', async () => {
      const relay = setup.run('--cursor-file', setup.path('missing/cursor'));
      expect(await relay.ended()).to.equal(1);
      expect(relay.errors)
        .to.match(/^session-import: .*no such file/)
        .and.not.to.include('DATABASE_URL');
    });

    it('speaks TLS to both, shows its certificate to a service that wants one, and waits as long as it is told', async () => {
      const secure = await startWithMutualTls();
      const authority = await CertificateAuthority.create();
      const identity = await authority.issue('receiver', [...serverNames]);
      const { source: sharing, server } = secure.harness;
      const own = await RelaySetup.open(server.port, sharing, {
        connection: secure.options,
        environment: { NODE_EXTRA_CA_CERTS: authority.file },
        identity,
      });
      await shareTimes({ ...secure.harness, client: stage.client }, 1);
      own.receiver.answer = () => new Promise(() => undefined);
      const relay = own.run('--timeout', '1');
      expect(await relay.logged(notTaken)).to.include({ why: 'no answer within 1 seconds' });
      own.receiver.answer = () => ({ status: 204 });
      await own.receiver.until(() => own.receiver.taken.length === 1);
      await own.close();
      await authority.remove();
      await secure.stop();
    });
  });
});
