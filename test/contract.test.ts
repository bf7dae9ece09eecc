import { readFileSync } from 'node:fs';
import path from 'node:path';
import {
  credentials,
  loadPackageDefinition,
  Metadata,
  status,
  type Client,
  type ServiceClientConstructor,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { expect } from 'chai';
import { noRules } from '../src/model/acceptance';
import { variables } from '../src/config';
import type { Problem } from '../src/model/problems';
import { ErrorReason } from '../src/gen/sessionimport/v1/session_import';
import { kindSchemas } from '../src/model/relations';
import { problemStatus } from '../src/rpc/call/status';
import type {
  ApplicationId,
  ConnectionId,
  SessionId,
  ShareTokenId,
  WorkflowId,
} from '../src/model/ids';
import { failureOf } from './support/client';
import { createSession } from './support/fixtures';
import { startHarness, type Harness } from './support/service';

const root = path.join(__dirname, '..');
const readme = readFileSync(path.join(root, 'README.md'), 'utf8');
const proto = readFileSync(
  path.join(root, 'proto', 'sessionimport', 'v1', 'session_import.proto'),
  'utf8',
);

const sessionId = '0190a000-0000-7000-8000-000000000001' as SessionId;
const applicationId = '0190a000-0000-7000-8000-000000000002' as ApplicationId;
const shareTokenId = '0190a000-0000-7000-8000-000000000004' as ShareTokenId;
const workflowId = '0190a000-0000-7000-8000-000000000003' as WorkflowId;
const connectionId = '0190a000-0000-7000-8000-000000000005' as ConnectionId;

/** One problem of each kind: the compiler sees to it that none is missing. */
const problems: { readonly [R in Problem['reason']]: Extract<Problem, { reason: R }> } = {
  CREDENTIALS_AMBIGUOUS: { reason: 'CREDENTIALS_AMBIGUOUS' },
  API_KEY_INVALID: { reason: 'API_KEY_INVALID' },
  GATEWAY_NOT_TRUSTED: { reason: 'GATEWAY_NOT_TRUSTED' },
  APPLICATION_NOT_FOUND: { reason: 'APPLICATION_NOT_FOUND' },
  RATE_LIMITED: { reason: 'RATE_LIMITED', retryAfter: 1_500 },
  PRIVILEGE_MISSING: { reason: 'PRIVILEGE_MISSING', privilege: 'write:sessions' },
  INVALID_REQUEST: {
    reason: 'INVALID_REQUEST',
    violations: [{ field: 'share_token', description: 'is required' }],
  },
  SHARING_NOT_CONFIGURED: { reason: 'SHARING_NOT_CONFIGURED' },
  REQUEST_ID_REUSED: { reason: 'REQUEST_ID_REUSED' },
  KEY_SET_UNAVAILABLE: { reason: 'KEY_SET_UNAVAILABLE', retryAfter: 10_000 },
  SHARE_TOKEN_INVALID: { reason: 'SHARE_TOKEN_INVALID', why: 'it is not a JWT' },
  SHARE_TOKEN_EXPIRED: { reason: 'SHARE_TOKEN_EXPIRED', expiredAt: new Date(0) },
  SHARE_TOKEN_NOT_FOR_APPLICATION: { reason: 'SHARE_TOKEN_NOT_FOR_APPLICATION', applicationId },
  LINKED_SESSIONS_NOT_SHARED: { reason: 'LINKED_SESSIONS_NOT_SHARED', sourceSessionId: sessionId },
  SESSION_ALREADY_IMPORTED: {
    reason: 'SESSION_ALREADY_IMPORTED',
    sessionId,
    sourceSessionId: sessionId,
  },
  SHARE_TOKEN_REVOKED: { reason: 'SHARE_TOKEN_REVOKED', shareTokenId },
  CONNECTION_NOT_ACTIVE: {
    reason: 'CONNECTION_NOT_ACTIVE',
    sourceApplicationId: applicationId,
    recipientApplicationId: applicationId,
  },
  CONNECTION_TERMS_EXCEEDED: {
    reason: 'CONNECTION_TERMS_EXCEEDED',
    connectionId,
    term: 'trust_review',
  },
  SOURCE_SESSION_NOT_FOUND: {
    reason: 'SOURCE_SESSION_NOT_FOUND',
    kind: 'user',
    sourceSessionId: sessionId,
    sourceApplicationId: applicationId,
  },
  SOURCE_SESSION_WITHDRAWN: { reason: 'SOURCE_SESSION_WITHDRAWN', sourceSessionId: sessionId },
  SOURCE_SESSION_NOT_FINISHED: {
    reason: 'SOURCE_SESSION_NOT_FINISHED',
    sourceSessionId: sessionId,
    status: 'In Progress',
  },
  WORKFLOW_NOT_FOUND: { reason: 'WORKFLOW_NOT_FOUND', workflowId },
  WORKFLOW_KIND_MISMATCH: {
    reason: 'WORKFLOW_KIND_MISMATCH',
    workflowId,
    workflowKind: 'user',
    sessionKind: 'business',
  },
  TOO_MANY_LINKED_SESSIONS: {
    reason: 'TOO_MANY_LINKED_SESSIONS',
    sourceSessionId: sessionId,
    limit: 500,
  },
  ACCEPTANCE_NOT_MET: {
    reason: 'ACCEPTANCE_NOT_MET',
    sourceSessionId: sessionId,
    rules: { ...noRules, statuses: ['Approved'] },
    violations: [{ rule: 'statuses', sessionId, found: 'Declined', wanted: 'Approved' }],
    count: 1,
  },
  SESSION_TOO_LARGE: { reason: 'SESSION_TOO_LARGE' },
  SESSION_NOT_FOUND: { reason: 'SESSION_NOT_FOUND', sessionId },
  SESSION_WITHDRAWN: { reason: 'SESSION_WITHDRAWN', sessionId },
  SESSION_NOT_FINISHED: { reason: 'SESSION_NOT_FINISHED', sessionId, status: 'In Progress' },
  SESSION_ON_HOLD: { reason: 'SESSION_ON_HOLD', sessionId, until: new Date(0) },
  RECIPIENT_NOT_FOUND: { reason: 'RECIPIENT_NOT_FOUND', applicationId },
  TOO_MANY_SHARE_TOKENS: { reason: 'TOO_MANY_SHARE_TOKENS', sessionId, limit: 1_000 },
  SHARE_TOKEN_NOT_FOUND: { reason: 'SHARE_TOKEN_NOT_FOUND', shareTokenId },
  WITHDRAWAL_NOT_FOUND: { reason: 'WITHDRAWAL_NOT_FOUND', sessionId },
  CONNECTION_NOT_FOUND: { reason: 'CONNECTION_NOT_FOUND', connectionId },
  CONNECTION_OWN_PROPOSAL: { reason: 'CONNECTION_OWN_PROPOSAL', connectionId },
  CONNECTION_ENDED: { reason: 'CONNECTION_ENDED', connectionId },
  TOO_MANY_PROPOSALS: { reason: 'TOO_MANY_PROPOSALS', limit: 100 },
  EVENT_CURSOR_EXPIRED: { reason: 'EVENT_CURSOR_EXPIRED', oldestAfter: 7 },
  EVENT_CURSOR_AHEAD: { reason: 'EVENT_CURSOR_AHEAD', lastSequence: 7 },
  TOO_MANY_WATCHES: { reason: 'TOO_MANY_WATCHES', limit: 100 },
  OVERLOADED: { reason: 'OVERLOADED' },
  CONFLICT: { reason: 'CONFLICT' },
  DATABASE_TOO_SLOW: { reason: 'DATABASE_TOO_SLOW' },
  DATABASE_UNAVAILABLE: { reason: 'DATABASE_UNAVAILABLE' },
  INTERNAL: { reason: 'INTERNAL' },
};

describe('the contract', () => {
  it('has the same reasons, codes and order in the code and in the proto file', () => {
    const code = Object.values(problems).map((problem) => [
      problem.reason,
      status[problemStatus(problem, 'id').code],
    ]);
    const inProto = [...proto.matchAll(/((?: {2}\/\/.*\n)+) {2}ERROR_REASON_(\w+) = [1-9]/g)].map(
      ([, comment = '', reason]) => [reason, /\/\/ ([A-Z_]+)\./.exec(comment)?.[1]],
    );
    expect(inProto).to.deep.equal(code);
    const generated = Object.keys(ErrorReason).filter((name) => name.startsWith('ERROR_REASON_'));
    expect(generated).to.deep.equal([
      'ERROR_REASON_UNSPECIFIED',
      ...code.map(([reason]) => `ERROR_REASON_${reason ?? ''}`),
    ]);
  });

  it('has an example of a .env file that names variables there are', () => {
    const example = readFileSync(path.join(root, '.env.example'), 'utf8');
    const named = [...example.matchAll(/^(\w+)=/gm)].map(([, name = '']) => name);
    expect(Object.keys(variables)).to.include.members(named);
    expect(named.length).to.be.greaterThan(2);
  });

  it('says in the README and in the docs how many relations there are', () => {
    const { user, business } = kindSchemas;
    expect(readme).to.include(
      `${user.relations.length} (KYC) or ${business.relations.length} (KYB) relations`,
    );
    const architecture = readFileSync(path.join(root, 'docs', 'architecture.md'), 'utf8');
    expect(architecture).to.include(`"${user.relations.length} tables, ON DELETE CASCADE"`);
    expect(architecture).to.include(`"${business.relations.length} tables, ON DELETE CASCADE"`);
  });

  describe('as a client sees it that loads the proto file at run time', () => {
    let harness: Harness;
    let client: Client & Record<'importSession', (...args: unknown[]) => void>;
    before(async () => {
      harness = await startHarness();
      const definition = loadSync('sessionimport/v1/session_import.proto', {
        includeDirs: [path.join(root, 'proto')],
        keepCase: true,
        enums: String,
        longs: String,
        defaults: true,
      });
      const loaded = loadPackageDefinition(definition) as unknown as {
        sessionimport: { v1: { SessionImport: ServiceClientConstructor } };
      };
      client = new loaded.sessionimport.v1.SessionImport(
        `127.0.0.1:${harness.server.port}`,
        credentials.createInsecure(),
      ) as unknown as typeof client;
    });
    after(async () => {
      client.close();
      await harness.stop();
    });

    const call = (request: object) =>
      new Promise<{ session: Record<string, unknown> }>((resolve, reject) => {
        const metadata = new Metadata();
        metadata.set('x-api-key', harness.target.apiKey);
        client.importSession(request, metadata, (error: Error | null, answer: never) => {
          if (error) reject(error);
          else resolve(answer);
        });
      });

    it('imports a session and reads the answer by the names in the proto file', async () => {
      const { db, source, target, signer } = harness;
      const original = await createSession(db, source, 'business');
      const { session } = await call({
        share_token: await signer.share(source, target, 'business', original),
        workflow_id: target.workflows.business,
        vendor_data: 'Müller & Söhne',
      });
      expect(session).to.include({
        session_number: '1',
        session_kind: 'SESSION_KIND_BUSINESS',
        status: 'SESSION_STATUS_IN_REVIEW',
        vendor_data: 'Müller & Söhne',
        shared_from_session: original,
        shared_from_application: source.applicationId,
      });
    });

    it('gets the same errors', async () => {
      expect(await failureOf(call({}))).to.include({
        code: 'INVALID_ARGUMENT',
        reason: 'INVALID_REQUEST',
      });
    });
  });
});
