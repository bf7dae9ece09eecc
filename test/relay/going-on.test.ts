import { readFile, writeFile } from 'node:fs/promises';
import { expect } from 'chai';
import { toBinary } from '../../src/model/ids';
import { privileges } from '../../src/model/privileges';
import { createApiKey, revokeApiKey } from '../../src/store/accounts';
import { startWithMutualTls } from '../clients/run-example';
import { CertificateAuthority } from '../support/certificates';
import { eventsOf, quickEvents } from '../support/events';
import { createTenant, type Tenant } from '../support/fixtures';
import { databaseUrl } from '../support/mysql';
import { ServiceProcess } from '../support/process';
import {
  newSecret,
  openRelayStage,
  RelaySetup,
  shareTimes,
  type RelayStage,
} from '../support/relay';
import { startHarness, type Harness } from '../support/service';
import { serverNames } from '../support/tls';
import { WebhookReceiver } from '../support/webhook-receiver';

const notRead = 'the feed can not be read: it is tried again';

describe('a relay', () => {
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

  /** Runs a relay that has to end by itself, with code 3. */
  async function ofNoUse(...options: readonly string[]): Promise<string> {
    const relay = setup.run(receiver.url, ...options);
    expect(await relay.ended()).to.equal(3);
    return relay.errors;
  }

  it('signs with both secrets of its file while they change', async () => {
    await shareTimes(stage, 1);
    const next = newSecret();
    await setup.write('secret', `${next}\n${secret}\n`);
    const relay = setup.run(receiver.url);
    await receiver.until(() => receiver.taken.length === 1);
    receiver.secret = next;
    await shareTimes(stage, 1);
    await receiver.until(() => receiver.taken.length === 2);
    const signatures = receiver.received.map(({ headers }) =>
      String(headers['webhook-signature']).split(' '),
    );
    expect(signatures.map(({ length }) => length)).to.deep.equal([2, 2]);
    expect(await relay.stop()).to.equal(0);
  });

  it('takes a new secret while it runs, and keeps the old one if the new one is none', async () => {
    const relay = setup.run(receiver.url);
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
    const relay = setup.run(receiver.url);
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
    const relay = setup.run(receiver.url);
    const { reason, why } = await relay.logged(notRead);
    expect(reason).to.equal('PRIVILEGE_MISSING');
    expect(why).to.include('read:session-events');
  });

  it('goes on when the service is back', async () => {
    const environment = {
      ...quickEvents,
      DATABASE_URL: databaseUrl(),
      SHARE_TOKEN_JWKS: harness.signer.jwks,
      SESSION_BASE_URL: 'https://verify.example.com/session',
    };
    let service = await ServiceProcess.serve(environment);
    const address = `127.0.0.1:${await service.port()}`;
    await shareTimes(stage, 2);
    const relay = setup.run(receiver.url, '--address', address);
    await receiver.until(() => receiver.taken.length === 2);
    service.signal('SIGKILL');
    await service.ended();
    await relay.logged(notRead);
    await shareTimes(stage, 2);
    service = await ServiceProcess.serve({ ...environment, GRPC_ADDRESS: address });
    await receiver.until(() => receiver.taken.length === 4);
    expect(receiver.taken).to.deep.equal([1, 2, 3, 4]);
    await service.stop();
  });

  it('ends with code 3 if events after its cursor are gone, and goes on where it is told to', async () => {
    await shareTimes(stage, 1);
    await eventsOf(harness, source, 1);
    await shareTimes(stage, 1);
    await eventsOf(harness, source, 2);
    await harness
      .db('session_events')
      .where({ application_id: toBinary(source.applicationId), last_sequence: 1 })
      .delete();
    expect(await ofNoUse())
      .to.include('events after 0 have been deleted')
      .and.include('--after 1');
    expect(receiver.received).to.deep.equal([]);
    expect(await setup.cursor()).to.equal(0);
    setup.run(receiver.url, '--after', '1');
    await receiver.until(() => receiver.taken.length === 1);
    expect(receiver.taken).to.deep.equal([2]);
  });

  it('ends with code 3 if its cursor is ahead of the feed', async () => {
    await shareTimes(stage, 2);
    await eventsOf(harness, source, 2);
    expect(await ofNoUse('--after', '7'))
      .to.include('the newest event of the feed is 2')
      .and.include('--after 2');
    // It stays: without anybody who looks, nothing is delivered.
    expect(await ofNoUse()).to.include('the cursor is 7');
    expect(receiver.received).to.deep.equal([]);
  });

  it('ends with code 3 if the feed is another one than the one that it has delivered', async () => {
    await shareTimes(stage, 2);
    const relay = setup.run(receiver.url);
    await receiver.until(() => receiver.taken.length === 2);
    await relay.stop();
    const other = await createTenant(harness.db);
    await shareTimes({ ...stage, source: other }, 3);
    await eventsOf(harness, other, 3);
    await setup.write('api-key', other.apiKey);
    expect(await ofNoUse()).to.include('event 2 of the feed is not the one that was delivered');
    expect(receiver.taken).to.deep.equal([1, 2]);
  });

  it('delivers again what it is told to, from the beginning', async () => {
    await shareTimes(stage, 2);
    const relay = setup.run(receiver.url);
    await receiver.until(() => receiver.taken.length === 2);
    await relay.stop();
    setup.run(receiver.url, '--after', '0');
    await receiver.until(() => receiver.taken.length === 4);
    expect(receiver.taken).to.deep.equal([1, 2, 1, 2]);
  });

  it('does not start with a cursor file that is none, and leaves it as it is', async () => {
    for (const content of ['', '{"after":1,"more":2}']) {
      await setup.write('cursor', content);
      const relay = setup.run(receiver.url, '--after', '0');
      expect(await relay.ended()).to.equal(1);
      expect(relay.errors).to.include('is no cursor file');
      expect(await readFile(setup.path('cursor'), 'utf8')).to.equal(content);
    }
  });

  it('ends if others write its cursor file', async () => {
    await shareTimes(stage, 1);
    const relay = setup.run(receiver.url);
    receiver.answer = async () => {
      await writeFile(setup.path('cursor'), '{"after":0}\n\n');
      return { status: 204 };
    };
    expect(await relay.ended()).to.equal(1);
    expect(relay.errors).to.include('give each relay a cursor file of its own');
  });

  it('does not start with a URL or a file that is of no use, and repeats nothing of it', async () => {
    await setup.write('none', 'two words\n');
    const none = setup.path('none');
    for (const [problem, ...options] of [
      ['no user and no password', '--to', 'https://ada:hush@example.com/'],
      ['an API key, and nothing else', '--api-key-file', none],
      ['line 1 is no secret', '--secret-file', none],
      ['no such file', '--cursor-file', setup.path('missing/cursor')],
    ] as const) {
      const relay = setup.run(receiver.url, ...options);
      expect(await relay.ended(), problem).to.equal(1);
      expect(relay.errors).to.include(problem);
      expect(relay.errors + relay.logLines.join()).not.to.match(/hush|two words|DATABASE_URL/);
    }
  });

  it('speaks TLS to both, and shows its certificate to a service that wants one', async () => {
    const secure = await startWithMutualTls();
    const authority = await CertificateAuthority.create();
    const identity = await authority.issue('receiver', [...serverNames]);
    const safe = await WebhookReceiver.open(secret, 0, identity);
    const { source: sharing, server } = secure.harness;
    const own = await RelaySetup.create(server.port, sharing, secret, secure.options, {
      NODE_EXTRA_CA_CERTS: authority.file,
    });
    await shareTimes({ ...secure.harness, client: stage.client }, 1);
    own.run(safe.url);
    await safe.until(() => safe.taken.length === 1);
    await own.remove();
    await safe.close();
    await authority.remove();
    await secure.stop();
  });
});
