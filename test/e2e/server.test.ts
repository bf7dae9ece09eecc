import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { failureOf } from '../support/client';
import { createSession } from '../support/fixtures';
import { HealthClient } from '../support/health';
import { startHarness, type Harness } from '../support/service';

const run = promisify(execFile);
const root = path.join(__dirname, '..', '..');
const serviceName = 'sessionimport.v1.SessionImport';

describe('the server', () => {
  let harness: Harness;
  before(async () => {
    harness = await startHarness();
  });
  after(() => harness.stop());

  /** buf's own gRPC client knows nothing of this service but what reflection tells it. */
  async function bufCurl(
    apiKey: string,
    method: string,
    request: object,
  ): Promise<{ answer: unknown; error: string }> {
    const buf = path.join(root, 'node_modules', '.bin', 'buf');
    const url = `http://127.0.0.1:${harness.server.port}/${method}`;
    try {
      const { stdout } = await run(buf, [
        'curl',
        ...['--protocol', 'grpc', '--http2-prior-knowledge'],
        ...['--header', `x-api-key: ${apiKey}`, '--data', JSON.stringify(request), url],
      ]);
      return { answer: JSON.parse(stdout), error: '' };
    } catch (error) {
      return { answer: undefined, error: (error as { stderr: string }).stderr };
    }
  }

  describe('describes itself by reflection', () => {
    it('so that a client without the proto file can import a session', async () => {
      const { db, source, target, signer } = harness;
      const original = await createSession(db, source, 'user');
      const { answer, error } = await bufCurl(target.apiKey, `${serviceName}/ImportSession`, {
        share_token: await signer.share(source, target, 'user', original),
        workflow_id: target.workflows.user,
        trust_review: true,
      });
      expect(error).to.equal('');
      expect(answer).to.have.property('session').that.includes({
        sessionKind: 'SESSION_KIND_USER',
        status: 'SESSION_STATUS_APPROVED',
        sharedFromSession: original,
      });
    });

    it('and such a client sees what is wrong with its request', async () => {
      const { error } = await bufCurl(harness.target.apiKey, `${serviceName}/ImportSession`, {});
      const { code, message } = JSON.parse(error) as { code: string; message: string };
      expect(code).to.equal('invalid_argument');
      expect(message).to.include('share_token is required; workflow_id is required');
    });

    it('with the health service', async () => {
      const { answer } = await bufCurl('', 'grpc.health.v1.Health/Check', { service: serviceName });
      expect(answer).to.deep.equal({ status: 'SERVING' });
    });
  });

  describe('tells its health', () => {
    let client: HealthClient;
    before(() => {
      client = new HealthClient(harness.server.port);
    });
    after(() => {
      client.close();
    });

    const check = (service: string): Promise<string> => client.check(service);

    it('for the server, for the service, and for nothing else', async () => {
      expect(await check('')).to.equal('SERVING');
      expect(await check(serviceName)).to.equal('SERVING');
      expect(await check('another.Service')).to.equal('NOT_FOUND');
    });
  });

  it('does not take a request that is far too large', async () => {
    const failure = await failureOf(
      harness.client.import(harness.target.apiKey, { shareToken: 'x'.repeat(100_000) }),
    );
    expect(failure.code).to.equal('RESOURCE_EXHAUSTED');
  });

  it('tells every call its request id, which finds its log line', async () => {
    const { db, source, target, signer, logLines } = harness;
    const original = await createSession(db, source, 'user');
    await harness.client.import(target.apiKey, {
      shareToken: await signer.share(source, target, 'user', original),
      workflowId: target.workflows.user,
    });
    const goodId = harness.client.lastRequestId ?? 'none';
    const goodLine = logLines.find((entry) => entry.includes(goodId)) ?? '';
    expect(JSON.parse(goodLine)).to.include({ code: 'OK', shared_from_session: original });
    const failure = await failureOf(harness.client.import(target.apiKey, {}));
    expect(failure.reason).to.equal('INVALID_REQUEST');
    const id = harness.client.lastRequestId ?? 'none';
    const line = logLines.find((entry) => entry.includes(id)) ?? '';
    expect(JSON.parse(line)).to.include({
      request_id: id,
      level: 'info',
      method: 'ImportSession',
      code: 'INVALID_ARGUMENT',
      reason: 'INVALID_REQUEST',
      application_id: target.applicationId,
    });
  });

  it('answers what it did not expect as INTERNAL, with an id that finds the log line and no detail', async () => {
    const { db, source, target, signer, client, logLines } = harness;
    const original = await createSession(db, source, 'user');
    const request = {
      shareToken: await signer.share(source, target, 'user', original),
      workflowId: target.workflows.user,
      vendorData: 'a name that must not be logged',
    };
    await db.schema.renameTable('user_reviews', 'user_reviews_away');
    try {
      const failure = await failureOf(client.import(target.apiKey, request));
      expect(failure).to.include({ code: 'INTERNAL', reason: 'INTERNAL' });
      const id = failure.metadata['request_id'] ?? 'none';
      expect(failure.message)
        .to.include(id)
        .and.not.match(/user_reviews|SELECT|ER_/i);
      const line = logLines.find((entry) => entry.includes(id)) ?? '';
      expect(JSON.parse(line)).to.deep.include({ level: 'error', reason: 'INTERNAL' });
      expect(line).to.include('ER_NO_SUCH_TABLE').and.not.include('INSERT INTO');
    } finally {
      await db.schema.renameTable('user_reviews_away', 'user_reviews');
    }
    expect(await client.import(target.apiKey, request)).to.have.property('session');
  });
});
