import { Client, credentials, Metadata } from '@grpc/grpc-js';
import { expect } from 'chai';
import { createApiKey, revokeApiKey } from '../../src/store/accounts';
import { newId, toBinary, toId, type SessionId } from '../../src/model/ids';
import { sessionKinds, type SessionKind, type SessionStatus } from '../../src/model/session';
import {
  ImportSessionRequest,
  SessionStatus as WireStatus,
} from '../../src/gen/sessionimport/v1/session_import';
import { failureOf, sessionOf } from '../support/client';
import { createSession, createTenant } from '../support/fixtures';
import { eventually } from '../support/helpers';
import { refusedCalls } from '../support/refused';
import { select } from '../support/rows';
import { startHarness, type Harness } from '../support/service';

describe('a call is refused', () => {
  let harness: Harness;
  before(async () => {
    harness = await startHarness();
  });
  after(() => harness.stop());

  /** A request that nothing speaks against. */
  async function goodRequest(kind: SessionKind = 'user', status: SessionStatus = 'Approved') {
    const { db, source, target, signer } = harness;
    const sessionId = await createSession(db, source, kind, { status });
    const shareToken = await signer.share(source, target, kind, sessionId);
    return { sessionId, request: { shareToken, workflowId: target.workflows[kind] } };
  }

  const fail = async (apiKey: string | null, request: object) =>
    failureOf(harness.client.import(apiKey, request));

  describe('for its API key', () => {
    it('if it is given twice, in two lines or in one, and is told so', async () => {
      const { apiKey } = harness.target;
      const { request } = await goodRequest();
      for (const values of [
        [apiKey, apiKey],
        [`${apiKey}, ${apiKey}`],
        [apiKey, ''],
        ['', apiKey],
      ]) {
        const metadata = new Metadata();
        for (const value of values) metadata.add('x-api-key', value);
        expect(await failureOf(harness.client.send(metadata, request))).to.include({
          code: 'INVALID_ARGUMENT',
          reason: 'CREDENTIALS_AMBIGUOUS',
        });
      }
    });

    it('if the key has expired', async () => {
      const { db, target } = harness;
      const { apiKey } = await createApiKey(db, {
        applicationId: target.applicationId,
        name: 'expired',
        privileges: ['write:sessions'],
        expiresAt: new Date(Date.now() - 1),
      });
      expect(await fail(apiKey, {})).to.include({
        code: 'UNAUTHENTICATED',
        reason: 'API_KEY_INVALID',
      });
    });

    it('if the key was revoked, within seconds of that', async () => {
      const { db, target } = harness;
      const { id, apiKey } = await createApiKey(db, {
        applicationId: target.applicationId,
        name: 'revoked',
        privileges: ['write:sessions'],
        expiresAt: null,
      });
      expect((await fail(apiKey, {})).reason).to.equal('INVALID_REQUEST');
      expect(await revokeApiKey(db, id)).to.equal(true);
      await eventually(async () => (await fail(apiKey, {})).reason === 'API_KEY_INVALID');
    });
  });

  describe('for its form', () => {
    const violations = async (request: object) => {
      const failure = await fail(harness.target.apiKey, request);
      expect(failure).to.include({ code: 'INVALID_ARGUMENT', reason: 'INVALID_REQUEST' });
      return failure.badRequest?.fieldViolations.map(({ field }) => field);
    };

    it('naming every field that is wrong at once', async () => {
      expect(await violations({ vendorData: '' })).to.deep.equal([
        'share_token',
        'workflow_id',
        'vendor_data',
      ]);
    });

    it('if vendor_data has 256 characters, and not if it has 255, whatever their bytes', async () => {
      const { request } = await goodRequest();
      for (const character of ['a', 'é', '😀']) {
        const vendorData = character.repeat(256);
        expect(await violations({ ...request, vendorData })).to.deep.equal(['vendor_data']);
      }
      const vendorData = '😀'.repeat(255);
      const answer = await harness.client.import(harness.target.apiKey, { ...request, vendorData });
      expect(sessionOf(answer).vendorData).to.equal(vendorData);
    });

    it('if vendor_data is not UTF-8', async () => {
      const { request } = await goodRequest();
      const bytes = Buffer.from(
        ImportSessionRequest.encode(
          ImportSessionRequest.fromPartial({ ...request, vendorData: 'name?' }),
        ).finish(),
      );
      bytes[bytes.lastIndexOf('?')] = 0xff;
      const raw = new Client(`127.0.0.1:${harness.server.port}`, credentials.createInsecure());
      const metadata = new Metadata();
      metadata.set('x-api-key', harness.target.apiKey);
      const call = new Promise((resolve, reject) => {
        raw.makeUnaryRequest(
          '/sessionimport.v1.SessionImport/ImportSession',
          (request: Buffer) => request,
          (answer) => answer,
          bytes,
          metadata,
          (error, answer) => {
            if (error) reject(error);
            else resolve(answer);
          },
        );
      });
      const failure = await failureOf(call);
      raw.close();
      expect(failure).to.include({ code: 'INVALID_ARGUMENT', reason: 'INVALID_REQUEST' });
      expect(failure.badRequest?.fieldViolations).to.deep.include.members([
        {
          field: 'vendor_data',
          description: 'must be UTF-8',
          reason: '',
          localizedMessage: undefined,
        },
      ]);
    });

    it('if the share token is longer than any could be', async () => {
      const { request } = await goodRequest();
      const shareToken = 'x'.repeat(8193);
      expect(await violations({ ...request, shareToken })).to.deep.equal(['share_token']);
    });
  });

  describe('for its share token', () => {
    it('if it is not a token', async () => {
      const { request } = await goodRequest();
      const failure = await fail(harness.target.apiKey, { ...request, shareToken: 'nonsense' });
      expect(failure).to.include({ code: 'UNAUTHENTICATED', reason: 'SHARE_TOKEN_INVALID' });
    });

    it('if it is for another application', async () => {
      const { db, client, target } = harness;
      const { request } = await goodRequest();
      const other = await createTenant(db);
      expect(await failureOf(client.import(other.apiKey, request))).to.deep.include({
        code: 'PERMISSION_DENIED',
        reason: 'SHARE_TOKEN_NOT_FOR_APPLICATION',
        metadata: { application_id: other.applicationId },
      });
      expect(await client.import(target.apiKey, request)).to.have.property('session');
    });
  });

  describe('for the source session', () => {
    for (const kind of sessionKinds) {
      it(`if the ${kind} session was imported before, and the answer names the copy`, async () => {
        const { client, target, signer, source } = harness;
        const { request, sessionId } = await goodRequest(kind);
        const copy = sessionOf(await client.import(target.apiKey, request)).sessionId;
        const expected = {
          code: 'PERMISSION_DENIED',
          reason: 'SESSION_ALREADY_IMPORTED',
          metadata: { session_id: copy, shared_from_session: sessionId },
        };
        expect(await fail(target.apiKey, request)).to.deep.include(expected);
        const anotherToken = await signer.share(source, target, kind, sessionId);
        expect(await fail(target.apiKey, { ...request, shareToken: anotherToken })).to.deep.include(
          expected,
        );
      });

      it(`if the copy of the ${kind} session was deleted since: once is once`, async () => {
        const { db, client, target, signer, source } = harness;
        const { request, sessionId } = await goodRequest(kind);
        const copy = sessionOf(await client.import(target.apiKey, request)).sessionId;
        const table = `${kind}_sessions`;
        await db(table)
          .where({ id: toBinary(toId(copy)) })
          .delete();
        const shareToken = await signer.share(source, target, kind, sessionId);
        expect(await fail(target.apiKey, { ...request, shareToken })).to.include({
          reason: 'SESSION_ALREADY_IMPORTED',
        });
        expect(
          await select('SELECT id FROM ?? WHERE shared_from_session_id = ?', [
            table,
            toBinary(sessionId),
          ]),
        ).to.deep.equal([]);
      });
    }

    it('if it does not exist, and the answer says which', async () => {
      const { source, target, signer } = harness;
      const missing = newId<SessionId>();
      const shareToken = await signer.share(source, target, 'user', missing);
      const failure = await fail(target.apiKey, {
        shareToken,
        workflowId: target.workflows.user,
      });
      expect(failure).to.include({ code: 'NOT_FOUND', reason: 'SOURCE_SESSION_NOT_FOUND' });
      expect(failure.resource).to.include({
        resourceType: 'session-import/user-session',
        resourceName: missing,
        owner: `applications/${source.applicationId}`,
      });
    });

    it('if it is of the other kind than the token says', async () => {
      const { source, target, signer } = harness;
      const { sessionId } = await goodRequest('business');
      const shareToken = await signer.share(source, target, 'user', sessionId);
      const request = { shareToken, workflowId: target.workflows.user };
      expect(await fail(target.apiKey, request)).to.include({ reason: 'SOURCE_SESSION_NOT_FOUND' });
    });

    it('if it belongs to another application than the token says', async () => {
      const { db, target, signer } = harness;
      const { sessionId } = await goodRequest();
      const thief = await createTenant(db);
      const shareToken = await signer.share(thief, target, 'user', sessionId);
      const request = { shareToken, workflowId: target.workflows.user };
      expect(await fail(target.apiKey, request)).to.include({ reason: 'SOURCE_SESSION_NOT_FOUND' });
    });

    const unfinished: SessionStatus[] = [
      'Not Started',
      'In Progress',
      'Awaiting User',
      'Resubmitted',
      'Expired',
      'Abandoned',
    ];
    for (const status of unfinished) {
      it(`if it is ${status}`, async () => {
        const { request, sessionId } = await goodRequest('user', status);
        expect(await fail(harness.target.apiKey, request)).to.deep.include({
          code: 'FAILED_PRECONDITION',
          reason: 'SOURCE_SESSION_NOT_FINISHED',
          metadata: { shared_from_session: sessionId, status },
        });
      });
    }

    const finished: [SessionStatus, WireStatus][] = [
      ['Approved', WireStatus.SESSION_STATUS_APPROVED],
      ['Declined', WireStatus.SESSION_STATUS_DECLINED],
      ['In Review', WireStatus.SESSION_STATUS_IN_REVIEW],
      ['Kyc Expired', WireStatus.SESSION_STATUS_KYC_EXPIRED],
    ];
    for (const [status, wireStatus] of finished) {
      it(`but not if it is ${status}, which stays so if trusted, and is In Review if not`, async () => {
        const { client, target } = harness;
        for (const kind of sessionKinds) {
          const trusted = (await goodRequest(kind, status)).request;
          const answer = await client.import(target.apiKey, { ...trusted, trustReview: true });
          expect(sessionOf(answer).status).to.equal(wireStatus);
          const untrusted = (await goodRequest(kind, status)).request;
          const other = await client.import(target.apiKey, untrusted);
          expect(sessionOf(other).status).to.equal(WireStatus.SESSION_STATUS_IN_REVIEW);
        }
      });
    }
  });

  describe('for its workflow', () => {
    it('if it does not exist, and the answer says which', async () => {
      const { request } = await goodRequest();
      const workflowId = newId();
      const failure = await fail(harness.target.apiKey, { ...request, workflowId });
      expect(failure).to.include({ code: 'NOT_FOUND', reason: 'WORKFLOW_NOT_FOUND' });
      expect(failure.resource).to.include({
        resourceType: 'session-import/workflow',
        resourceName: workflowId,
      });
    });

    for (const kind of sessionKinds) {
      it(`if it is not for ${kind} sessions`, async () => {
        const { request } = await goodRequest(kind);
        const other = kind === 'user' ? 'business' : 'user';
        const workflowId = harness.target.workflows[other];
        expect(await fail(harness.target.apiKey, { ...request, workflowId })).to.deep.include({
          code: 'FAILED_PRECONDITION',
          reason: 'WORKFLOW_KIND_MISMATCH',
          metadata: { workflow_id: workflowId, workflow_kind: other, session_kind: kind },
        });
      });
    }
  });

  it('for the first of the conditions that apply, in the order of the table', async () => {
    const { atTheDoor, inTheGroup } = await refusedCalls(harness);
    for (const { reason, apiKey, request } of [...atTheDoor, ...inTheGroup]) {
      expect((await fail(apiKey, request)).reason).to.equal(reason);
    }
  });

  it('without an import, or what one makes, in the database', async () => {
    const { db, target } = harness;
    const { request, sessionId } = await goodRequest();
    const workflowId = newId();
    await fail(target.apiKey, { ...request, workflowId, vendorData: 'nobody' });
    for (const table of ['session_imports', 'vendor_users'] as const) {
      const column = table === 'session_imports' ? 'source_session_id' : 'vendor_data';
      const value = table === 'session_imports' ? toBinary(sessionId) : Buffer.from('nobody');
      expect(await db(table).where({ [column]: value })).to.deep.equal([]);
    }
  });
});
