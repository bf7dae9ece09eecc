import { expect } from 'chai';
import { toBinary } from '../../src/model/ids';
import { endings, failureOf, TestClient } from '../support/client';
import { createSession } from '../support/fixtures';
import { reading } from '../support/metrics';
import { databaseUrl } from '../support/mysql';
import { ServiceProcess } from '../support/process';
import { select } from '../support/rows';
import { startHarness, type Harness } from '../support/service';

describe('service processes', () => {
  let harness: Harness;
  let running: readonly [ServiceProcess, ServiceProcess];
  let clients: readonly [TestClient, TestClient];
  before(async () => {
    harness = await startHarness();
    const serve = () =>
      ServiceProcess.serve({
        DATABASE_URL: databaseUrl(),
        SHARE_TOKEN_JWKS: harness.signer.jwks,
        SESSION_BASE_URL: 'https://verify.example.com/session',
      });
    running = await Promise.all([serve(), serve()]);
    const [one, two] = running;
    clients = [new TestClient(await one.port()), new TestClient(await two.port())];
  });
  after(async () => {
    for (const client of clients) client.close();
    await Promise.all(running.map((service) => service.stop()));
    await harness.stop();
  });

  for (const tokens of ['one token', 'a token each']) {
    it(`two of them, called 50 times with ${tokens} for one session, make one copy`, async () => {
      const { db, source, target, signer } = harness;
      const original = await createSession(db, source, 'user');
      const [one, two] = clients;
      const only = await signer.share(source, target, 'user', original);
      const requests = await Promise.all(
        Array.from({ length: 50 }, async () => ({
          shareToken:
            tokens === 'one token' ? only : await signer.share(source, target, 'user', original),
          workflowId: target.workflows.user,
          vendorData: 'somebody',
        })),
      );
      const results = await endings(
        requests.map((request, index) =>
          (index % 2 === 0 ? one : two).import(target.apiKey, request),
        ),
      );
      expect(results.filter((result) => result === 'OK')).to.have.length(1);
      expect(results.filter((result) => result === 'SESSION_ALREADY_IMPORTED')).to.have.length(49);
      expect(
        await select('SELECT id FROM user_sessions WHERE shared_from_session_id = ?', [
          toBinary(original),
        ]),
      ).to.have.length(1);
    });
  }

  it('told to stop, finish what runs, refuse what comes, and end well', async () => {
    const { db, source, target, signer } = harness;
    const original = await createSession(db, source, 'user');
    const request = {
      shareToken: await signer.share(source, target, 'user', original),
      workflowId: target.workflows.user,
    };
    const [service] = running;
    const [client] = clients;
    let finished: Promise<string[]> = Promise.resolve([]);
    await db.transaction(async (writer) => {
      await writer('user_sessions')
        .where({ id: toBinary(original) })
        .forUpdate();
      finished = endings([client.import(target.apiKey, request)]);
      const { metrics_port: port } = await service.logged('serving');
      const used = { pool: 'import', state: 'used' };
      await reading(Number(port), 'session_import_database_connections', used, 1);
      service.signal('SIGTERM');
      await service.logged('stopping: finishing what runs');
      const late = new TestClient(await service.port());
      expect((await failureOf(late.import(target.apiKey, request))).code).to.equal('UNAVAILABLE');
      late.close();
    });
    expect(await finished).to.deep.equal(['OK']);
    expect(await service.ended()).to.equal(0);
    await service.logged('stopped');
  });
});
