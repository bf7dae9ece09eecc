import { expect } from 'chai';
import {
  GetSessionRequest,
  ListSessionRowsRequest,
  ListSessionsRequest,
  SessionReadService,
} from '../../src/gen/sessionimport/v1/session_read';
import {
  ListShareTokensRequest,
  SessionShareService,
} from '../../src/gen/sessionimport/v1/session_share';
import {
  GetProvenanceRequest,
  ImportDirection,
  ListImportsRequest,
  SessionTraceService,
} from '../../src/gen/sessionimport/v1/session_trace';
import { toBinary, toId, type SessionId } from '../../src/model/ids';
import { kindSchemas } from '../../src/model/relations';
import type { SessionKind } from '../../src/model/session';
import { sessionOf } from '../support/client';
import { createCompany, requestWithLinked } from '../support/companies';
import { addLogs, createSession, createTenant, type Tenant } from '../support/fixtures';
import { select } from '../support/rows';
import { startHarness, type Harness } from '../support/service';

describe('a copy that is shared on', () => {
  let harness: Harness;
  before(async () => {
    harness = await startHarness();
  });
  after(() => harness.stop());

  /** A session on its way through applications: the first has the original. */
  interface Chain {
    readonly kind: SessionKind;
    readonly tenants: readonly Tenant[];
    /** What each of them has of it: its own session, and those of the people that came along. */
    readonly sessions: readonly (readonly SessionId[])[];
    /** All that the last one was answered when it imported. */
    readonly answer: unknown;
  }

  async function passOn(kind: SessionKind, copies: number): Promise<Chain> {
    const { db, client } = harness;
    const first = await createTenant(db);
    const tenants = [first];
    const people = [await createSession(db, first, 'user'), await createSession(db, first, 'user')];
    const original =
      kind === 'user'
        ? await createSession(db, first, 'user')
        : await createCompany(db, first, people);
    await addLogs(db, kind, original, 2);
    const sessions = [kind === 'user' ? [original] : [original, ...people]];
    let answer: unknown;
    let source = first;
    let shared = original;
    for (let copy = 0; copy < copies; copy++) {
      const target = await createTenant(db);
      const trustReview = copy % 2 === 0;
      const response = await client.import(target.apiKey, {
        ...(kind === 'user'
          ? {
              shareToken: await harness.signer.share(source, target, kind, shared),
              workflowId: target.workflows.user,
            }
          : await requestWithLinked({ ...harness, source, target }, shared)),
        vendorData: `${target.applicationId} calls it so`,
        trustReview,
      });
      answer = response;
      shared = toId<SessionId>(sessionOf(response).sessionId);
      sessions.push([
        shared,
        ...response.linkedSessions.map(({ session }) => toId<SessionId>(session?.sessionId ?? '')),
      ]);
      tenants.push(target);
      source = target;
    }
    return { kind, tenants, sessions, answer };
  }

  /** Everything that an application can read about its sessions, by every method that reads. */
  async function everythingThatShows(tenant: Tenant, own: readonly SessionId[]): Promise<string> {
    const { client } = harness;
    const read = <Request, Response>(
      method: Parameters<typeof client.call<Request, Response>>[0],
      request: Request,
    ) => client.call(method, tenant.apiKey, request);
    const shown: unknown[] = [
      await read(SessionReadService.listSessions, ListSessionsRequest.fromPartial({})),
    ];
    for (const direction of [
      ImportDirection.IMPORT_DIRECTION_INCOMING,
      ImportDirection.IMPORT_DIRECTION_OUTGOING,
    ]) {
      const request = ListImportsRequest.fromPartial({ direction });
      shown.push(await read(SessionTraceService.listImports, request));
    }
    for (const sessionId of own) {
      const [row] = await select('SELECT id FROM business_sessions WHERE id = ?', [
        toBinary(sessionId),
      ]);
      shown.push(
        await read(SessionReadService.getSession, GetSessionRequest.fromPartial({ sessionId })),
        await read(
          SessionTraceService.getProvenance,
          GetProvenanceRequest.fromPartial({ sessionId }),
        ),
        await read(
          SessionShareService.listShareTokens,
          ListShareTokensRequest.fromPartial({ sessionId }),
        ),
      );
      for (const { name: relation } of kindSchemas[row ? 'business' : 'user'].relations) {
        const request = ListSessionRowsRequest.fromPartial({ sessionId, relation });
        shown.push(await read(SessionReadService.listSessionRows, request));
      }
    }
    return JSON.stringify(shown);
  }

  for (const kind of ['user', 'business'] as const) {
    for (const copies of [2, 3]) {
      it(`shows nothing of where its own source had it from (${kind}, ${copies} applications on)`, async () => {
        const { tenants, sessions, answer } = await passOn(kind, copies);
        const [last, source] = [tenants.at(-1), tenants.at(-2)];
        const [own, shared] = [sessions.at(-1), sessions.at(-2)];
        if (!last || !source || !own || !shared) throw new Error('the chain is too short');
        const shows = JSON.stringify(answer) + (await everythingThatShows(last, own));

        // It can be seen at all: what is shown names where it came from, one step back.
        for (const id of [...own, ...shared, source.applicationId]) expect(shows).to.include(id);
        for (const before of sessions.slice(0, -2).flat()) expect(shows).not.to.include(before);
        for (const tenant of tenants.slice(0, -2)) {
          expect(shows).not.to.include(tenant.applicationId);
          for (const workflow of Object.values(tenant.workflows)) {
            expect(shows).not.to.include(workflow);
          }
        }
        // What its source alone may know: how it filed the session, and by which key it came.
        for (const workflow of Object.values(source.workflows)) {
          expect(shows).not.to.include(workflow);
        }
        expect(shows).not.to.include(`${source.applicationId} calls it so`);
        const keys = await select(
          'SELECT LOWER(HEX(id)) AS id FROM api_keys WHERE application_id = ?',
          [toBinary(source.applicationId)],
        );
        expect(keys).to.have.length(1);
        for (const { id } of keys) expect(shows.replaceAll('-', '')).not.to.include(id);
        // One entry of an import: the reader's own.
        for (const session of own) {
          const [row] = await select(
            `SELECT COUNT(*) AS entries FROM (
               SELECT activity_type FROM user_logs WHERE session_id = ?
               UNION ALL SELECT activity_type FROM business_logs WHERE session_id = ?) l
             WHERE activity_type = 'session_imported'`,
            [toBinary(session), toBinary(session)],
          );
          expect(Number(row?.['entries'])).to.equal(1);
        }
      });
    }
  }
});
