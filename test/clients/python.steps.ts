import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import type { Command } from '../../scripts/mysql/processes';
import { createSession } from '../support/fixtures';
import { reading } from '../support/metrics';
import { startHarness, type Harness } from '../support/service';
import { pythonWithStubs } from './python';
import { runExample, startWithMutualTls, type ExampleResult } from './run-example';

const examples = path.join(__dirname, '..', '..', 'examples', 'python');
const example = path.join(examples, 'import_session.py');

describe('the Python examples (need Debian’s archive, or python3 with grpcio-tools and googleapis-common-protos)', () => {
  let folder: string;
  let harness: Harness;
  let python: Command;
  before(async function () {
    // The first time on a machine, it may have to be fetched.
    this.timeout(300_000);
    folder = await mkdtemp(path.join(tmpdir(), 'session-import-python-'));
    const found = await pythonWithStubs(path.join(folder, 'stubs'));
    if (!found) this.skip();
    python = found;
    harness = await startHarness();
  });
  after(async () => {
    await (harness as Harness | undefined)?.stop();
    await rm(folder, { recursive: true });
  });

  const call = (...args: string[]): Promise<ExampleResult> => {
    const address = `127.0.0.1:${harness.server.port}`;
    return runExample([...python, example, '--plaintext', address, ...args], {
      API_KEY: harness.target.apiKey,
    });
  };

  it('imports a session, and reads why it is refused the second time', async () => {
    const { db, source, target, signer } = harness;
    const original = await createSession(db, source, 'user');
    const token = await signer.share(source, target, 'user', original);
    const args = ['--vendor-data', 'Zoë', '--trust-review', token, target.workflows.user];

    const first = await call(...args);
    expect(first.exitCode).to.equal(0);
    const session = first.printed['session'] as Record<string, string>;
    expect(session).to.include({
      session_kind: 'SESSION_KIND_USER',
      status: 'SESSION_STATUS_APPROVED',
      vendor_data: 'Zoë',
      shared_from_session: original,
    });

    const second = await call(...args);
    expect(second.exitCode).to.equal(1);
    expect(second.printed).to.deep.include({
      code: 'PERMISSION_DENIED',
      reason: 'SESSION_ALREADY_IMPORTED',
      metadata: { session_id: session['session_id'], shared_from_session: original },
    });
  });

  it('shares a session, reads it, and asks where it came from', async () => {
    const { db, source, target, server } = harness;
    const original = await createSession(db, source, 'user');
    const sessions = (action: string, ...args: readonly string[]) => {
      const call = [action, '--plaintext', `127.0.0.1:${server.port}`, original, ...args];
      return runExample([...python, path.join(examples, 'sessions.py'), ...call], {
        API_KEY: source.apiKey,
      });
    };
    const shared = await sessions('share', target.applicationId);
    expect(shared.printed['share_token']).to.match(/^[\w-]+\.[\w-]+\.[\w-]+$/);
    const { printed } = await sessions('read');
    expect(printed['session']).to.deep.include({ session_id: original });
    expect(printed['logs']).to.equal(0);
    expect((await sessions('trace')).exitCode).to.equal(0);
    const refused = await sessions('share', source.applicationId);
    expect(refused).to.deep.include({ exitCode: 1 });
    expect(refused.printed).to.include({ reason: 'INVALID_REQUEST' });
  });

  it('reads what is wrong with each field of a malformed request', async () => {
    const { exitCode, printed } = await call('--vendor-data', '', 'x'.repeat(8193), 'no-uuid');
    expect(exitCode).to.equal(1);
    expect(printed).to.include({ code: 'INVALID_ARGUMENT', reason: 'INVALID_REQUEST' });
    const violations = printed['field_violations'] as { field: string; description: string }[];
    expect(violations.map(({ field }) => field)).to.deep.equal([
      'share_token',
      'workflow_id',
      'vendor_data',
    ]);
    for (const { description } of violations) expect(description).to.match(/\w/);
  });

  it('reads which workflow there is not', async () => {
    const { db, source, target, signer } = harness;
    const original = await createSession(db, source, 'user');
    const token = await signer.share(source, target, 'user', original);
    const workflowId = '01a2058b-7a61-7348-906d-033d61826d1a';
    const { printed } = await call(token, workflowId);
    expect(printed).to.deep.include({
      code: 'NOT_FOUND',
      reason: 'WORKFLOW_NOT_FOUND',
      resource: { type: 'session-import/workflow', name: workflowId },
    });
  });

  it('sends a message that is too large only once', async () => {
    const { printed } = await call('x'.repeat(100_000), 'no-uuid');
    expect(printed['code']).to.equal('RESOURCE_EXHAUSTED');
    const { metricsPort } = harness.server;
    await reading(metricsPort, 'grpc_server_handled_total', { grpc_code: 'ResourceExhausted' }, 1);
  });

  it('shows its certificate to a service that wants one', async () => {
    const secure = await startWithMutualTls();
    const { db, source, target, signer, server } = secure.harness;
    const original = await createSession(db, source, 'business');
    const token = await signer.share(source, target, 'business', original);
    const args = [`127.0.0.1:${server.port}`, token, target.workflows.business];
    const result = await runExample([...python, example, ...secure.options, ...args], {
      API_KEY: target.apiKey,
    });
    expect(result.exitCode).to.equal(0);
    expect(result.printed['session']).to.include({ shared_from_session: original });
    await secure.stop();
  });
});
