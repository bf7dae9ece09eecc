import { once } from 'node:events';
import { createServer } from 'node:net';
import { expect } from 'chai';
import { eventsOf, listEvents, quickEvents } from '../support/events';
import { createSession, type Tenant } from '../support/fixtures';
import { openRelayStage, shareTimes, type RelaySetup, type RelayStage } from '../support/relay';
import { startHarness, type Harness } from '../support/service';
import { withdraw } from '../support/withdrawals';
import { WebhookReceiver, type Answer } from '../support/webhook-receiver';

/** The numbers from one to another. */
const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, index) => from + index);

const notTaken = 'the receiver does not take an event: it is tried again';

describe('the relay', () => {
  let harness: Harness;
  let stage: RelayStage;
  let source: Tenant;
  let secret: string;
  let receiver: WebhookReceiver;
  let setup: RelaySetup;
  before(async () => {
    harness = await startHarness({ environment: quickEvents });
  });
  beforeEach(async () => {
    stage = await openRelayStage(harness);
    ({ source, secret, receiver, setup } = stage);
  });
  afterEach(() => stage.close());
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

  /** Answers the first requests in some way, and takes all others. */
  const answerFirst = (...answers: readonly (Answer | Promise<Answer>)[]): void => {
    const left = [...answers];
    receiver.answer = () => left.shift() ?? { status: 200, body: 'thanks' };
  };

  it('delivers every event once and in order: what there is, and what comes', async () => {
    await shareTimes(stage, 110);
    await eventsOf(harness, source, 110);
    const relay = setup.run(receiver.url);
    await receiver.until(() => receiver.taken.length === 110);
    await shareTimes(stage, 10);
    await receiver.until(() => receiver.taken.length === 120);
    expect(receiver.taken).to.deep.equal(range(1, 120));
    const ids = receiver.received.map(({ headers }) => headers['webhook-id']);
    expect(ids).to.deep.equal(await allIdsOf(source));
    expect(await relay.stop()).to.equal(0);
    expect(await setup.cursor()).to.equal(120);
  });

  it('says of each event what the feed says', async () => {
    const { client, target, db } = stage;
    const sessionId = await createSession(db, source, 'user');
    const shareToken = await harness.signer.share(source, target, 'user', sessionId);
    await client.import(target.apiKey, { shareToken, workflowId: target.workflows.user });
    const [event] = await eventsOf(harness, source, 1);
    setup.run(receiver.url);
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
    const { port, url } = receiver;
    await receiver.close();
    const relay = setup.run(url, '--timeout', '1');
    expect(await relay.logged(notTaken)).to.include({ sequence: 1, why: 'ECONNREFUSED' });
    receiver = await WebhookReceiver.open(secret, port);
    const never = new Promise<Answer>(() => undefined);
    answerFirst({ status: 500 }, { status: 200 }, never);
    await receiver.until(() => receiver.taken.length === 3);
    expect(receiver.received.map(({ status }) => status)).to.deep.equal([500, 200, 200, 200]);
    expect(receiver.taken).to.deep.equal([1, 2, 3]);
    await relay.logged('the receiver takes events again');
    const texts = relay.logLines.join('\n');
    expect(texts).to.include('no answer within 1 seconds');
    await receiver.close();
  });

  it('takes the answer of a receiver for what it is, however long it is', async () => {
    await shareTimes(stage, 2);
    receiver.answer = () => ({ status: 202, body: 'x'.repeat(1_000_000) });
    setup.run(receiver.url);
    await receiver.until(() => receiver.received.length === 2);
    expect(receiver.taken).to.deep.equal([1, 2]);
  });

  it('follows no redirect', async () => {
    await shareTimes(stage, 1);
    answerFirst({ status: 307, headers: { location: `${receiver.url}/elsewhere` } });
    const relay = setup.run(receiver.url);
    const { why } = await relay.logged(notTaken);
    expect(why).to.equal('it answers with HTTP status 307, which is not followed');
    await receiver.until(() => receiver.taken.length === 1);
    expect(receiver.received).to.have.length(2);
  });

  it('waits for as long as a receiver asks for, up to an hour, and stops meanwhile if it has to', async () => {
    await shareTimes(stage, 1);
    for (const [asked, kept] of [
      ['90', 90],
      ['86400', 3_600],
    ] as const) {
      answerFirst({ status: 429, headers: { 'retry-after': asked } });
      const relay = setup.run(receiver.url);
      expect(await relay.logged(notTaken)).to.include({ pause_s: kept });
      expect(await relay.stop()).to.equal(0);
      expect(await setup.cursor()).to.equal(0);
    }
    expect(receiver.received).to.have.length(2);
  });

  it('ends with an error if the receiver is gone', async () => {
    await shareTimes(stage, 2);
    answerFirst({ status: 200 }, { status: 410 });
    const relay = setup.run(receiver.url);
    expect(await relay.ended()).to.equal(1);
    expect(relay.errors).to.include('410 Gone');
    expect(await setup.cursor()).to.equal(1);
  });

  it('that is killed between an answer and its cursor delivers the event again, and then the others', async () => {
    await shareTimes(stage, 6);
    for (const killedAt of [1, 4]) {
      const relay = setup.run(receiver.url);
      receiver.answer = async ({ data }) => {
        if (data.sequence === killedAt) {
          relay.signal('SIGKILL');
          await relay.ended();
        }
        return { status: 204 };
      };
      await receiver.until(() => receiver.taken.at(-1) === killedAt);
      expect(await setup.cursor()).to.equal(killedAt - 1);
    }
    receiver.answer = () => ({ status: 204 });
    setup.run(receiver.url);
    await receiver.until(() => receiver.taken.at(-1) === 6);
    expect(receiver.taken).to.deep.equal([1, 1, 2, 3, 4, 4, 5, 6]);
    const ids = receiver.received.map(({ headers }) => headers['webhook-id']);
    expect(new Set(ids).size).to.equal(6);
  });

  it('tells of a withdrawal that was made while it was away', async () => {
    const { client, target, db } = stage;
    const original = await createSession(db, target, 'user');
    const shareToken = await harness.signer.share(target, source, 'user', original);
    await client.import(source.apiKey, { shareToken, workflowId: source.workflows.user });
    const relay = setup.run(receiver.url);
    await receiver.until(() => receiver.taken.length === 1);
    expect(await relay.stop()).to.equal(0);
    await withdraw(stage, target, original);
    await eventsOf(harness, source, 2);
    setup.run(receiver.url);
    await receiver.until(() => receiver.taken.length === 2);
    expect(receiver.received.map(({ message }) => message.type)).to.deep.equal([
      'session.imported',
      'source.withdrawn',
    ]);
  });

  it('finishes what it posts when it is told to stop, and posts nothing after it', async () => {
    await shareTimes(stage, 2);
    const relay = setup.run(receiver.url);
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
  });

  it('says nothing of secrets, of the key, or of what is private in a URL', async () => {
    await shareTimes(stage, 1);
    answerFirst({ status: 500, body: 'no entry' });
    const relay = setup.run(`${receiver.url}?token=hush-hush`, '--timeout', '1');
    await receiver.until(() => receiver.taken.length === 1);
    await relay.stop();
    const texts = relay.logLines.join('\n') + relay.errors;
    expect(texts).to.include(`http://127.0.0.1:${receiver.port}`);
    for (const text of [source.apiKey, secret.slice(10), 'hush', '/events', 'no entry']) {
      expect(texts).not.to.include(text);
    }
  });

  it('is not held up by a receiver that hangs up', async () => {
    await shareTimes(stage, 1);
    const rude = createServer((socket) => {
      socket.destroy();
    });
    await once(rude.listen(0, '127.0.0.1'), 'listening');
    const { port } = rude.address() as { port: number };
    const relay = setup.run(`http://127.0.0.1:${port}/`);
    expect(await relay.logged(notTaken)).to.include({ sequence: 1 });
    expect(await relay.stop()).to.equal(0);
    rude.close();
  });
});
