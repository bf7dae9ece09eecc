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
  let environment: Record<string, string>;
  const running: ServiceProcess[] = [];
  before(async () => {
    harness = await startHarness();
    environment = {
      DATABASE_URL: databaseUrl(),
      SHARE_TOKEN_JWKS: harness.signer.jwks,
      SESSION_BASE_URL: 'https://verify.example.com/session',
    };
  });
  after(() => harness.stop());
  afterEach(async () => {
    await Promise.all(running.splice(0).map((service) => service.stop()));
  });

  async function serve(): Promise<{ service: ServiceProcess; client: TestClient }> {
    const service = await ServiceProcess.serve(environment);
    running.push(service);
    return { service, client: new TestClient(await service.port()) };
  }

  for (const tokens of ['one token', 'a token each']) {
    it(`two of them, called 50 times with ${tokens} for one session, make one copy`, async () => {
      const { db, source, target, signer } = harness;
      const original = await createSession(db, source, 'user');
      const { client: one } = await serve();
      const { client: two } = await serve();
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
      one.close();
      two.close();
    });
  }

  it('told to stop, finish what runs, refuse what comes, and end well', async () => {
    const { db, source, target, signer } = harness;
    const original = await createSession(db, source, 'user');
    const request = {
      shareToken: await signer.share(source, target, 'user', original),
      workflowId: target.workflows.user,
    };
    const { service, client } = await serve();
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
    client.close();
  });
});
