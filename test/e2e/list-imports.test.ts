import { randomBytes } from 'node:crypto';
import { expect } from 'chai';
import { createApiKey } from '../../src/store/accounts';
import {
  newId,
  toBinary,
  toId,
  type ApplicationId,
  type Id,
  type SessionId,
} from '../../src/model/ids';
import {
  SessionKind as WireKind,
  SessionStatus as WireStatus,
} from '../../src/gen/sessionimport/v1/session_import';
import {
  ImportDirection,
  ImportOutcome,
  ListImportsRequest,
  SessionTraceService,
  type ImportRecord,
  type ListImportsResponse,
} from '../../src/gen/sessionimport/v1/session_trace';
import { kindSchemas } from '../../src/model/relations';
import { sessionKinds, type SessionKind } from '../../src/model/session';
import { wireKinds } from '../../src/rpc/wire';
import { failureOf, sessionOf } from '../support/client';
import { createSession, createTenant, type Tenant } from '../support/fixtures';
import { startHarness, type Harness } from '../support/service';

const outgoing = { direction: ImportDirection.IMPORT_DIRECTION_OUTGOING };
const imported = { outcome: ImportOutcome.IMPORT_OUTCOME_IMPORTED };
const refused = { outcome: ImportOutcome.IMPORT_OUTCOME_REFUSED };

describe('the list of imports', () => {
  let harness: Harness;
  let source: Tenant;
  let target: Tenant;
  before(async () => {
    harness = await startHarness();
  });
  beforeEach(async () => {
    source = await createTenant(harness.db);
    target = await createTenant(harness.db);
  });
  after(() => harness.stop());

  const list = (
    apiKey: string,
    request: Partial<ListImportsRequest> = {},
  ): Promise<ListImportsResponse> =>
    harness.client.call(
      SessionTraceService.listImports,
      apiKey,
      ListImportsRequest.fromPartial(request),
    );

  const imports = async (tenant: Tenant, request: Partial<ListImportsRequest> = {}) =>
    (await list(tenant.apiKey, request)).imports;

  const reasons = async (tenant: Tenant, request: Partial<ListImportsRequest> = {}) =>
    (await imports(tenant, request)).map(({ reason }) => reason);

  async function offer(kind: SessionKind, from = source, to = target) {
    const { db, signer } = harness;
    const original = await createSession(db, from, kind);
    const shareToken = await signer.share(from, to, kind, original);
    return { original, request: { shareToken, workflowId: to.workflows[kind] } };
  }

  /** All pages of a list, one after the other. */
  async function pagesOf(
    tenant: Tenant,
    request: Partial<ListImportsRequest>,
  ): Promise<ImportRecord[][]> {
    const pages: ImportRecord[][] = [];
    let pageToken = '';
    do {
      const page = await list(tenant.apiKey, { ...request, pageToken });
      pages.push(page.imports);
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    return pages;
  }

  /** Writes imports into the ledger, each made at a moment that is given to the microsecond. */
  async function enter(moments: readonly string[]): Promise<void> {
    await harness.db('session_imports').insert(
      moments.map((moment) => ({
        application_id: toBinary(target.applicationId),
        source_session_id: toBinary(anyId()),
        source_application_id: toBinary(source.applicationId),
        session_kind: 'user',
        source_status: 'Approved',
        session_id: toBinary(anyId()),
        trust_review: false,
        api_key_id: toBinary(newId()),
        token_digest: randomBytes(32),
        created_at: moment,
      })),
    );
  }

  /** The same for refusals. */
  async function refuse(moments: readonly string[]): Promise<void> {
    await harness.db('import_refusals').insert(
      moments.map((moment) => ({
        application_id: toBinary(target.applicationId),
        created_at: moment,
        id: toBinary(anyId()),
        reason: 'SHARE_TOKEN_INVALID',
        // To tell them from each other.
        gateway: anyId(),
      })),
    );
  }

  for (const kind of sessionKinds) {
    it(`tells the importing application all about an import of a ${kind} session`, async () => {
      const { client } = harness;
      const { original, request } = await offer(kind);
      const verifiedAt = new Date('2026-01-02T03:04:05.678Z');
      await harness
        .db(kindSchemas[kind].sessions)
        .where({ id: toBinary(original) })
        .update({ verified_at: verifiedAt });
      const { id: keyId, apiKey } = await createApiKey(harness.db, {
        applicationId: target.applicationId,
        name: 'imports',
        privileges: ['write:sessions'],
        expiresAt: null,
      });
      const copy = sessionOf(await client.import(apiKey, { ...request, trustReview: true }));
      expect(await imports(target)).to.deep.equal([
        {
          outcome: ImportOutcome.IMPORT_OUTCOME_IMPORTED,
          createdAt: copy.createdAt,
          applicationId: target.applicationId,
          sessionKind: wireKinds[kind],
          sharedFromSession: original,
          sharedFromApplication: source.applicationId,
          sessionId: copy.sessionId,
          sourceStatus: WireStatus.SESSION_STATUS_APPROVED,
          trustReview: true,
          apiKeyId: keyId,
          gateway: undefined,
          shareTokenId: jtiOf(request.shareToken),
          signingKeyId: harness.signer.privateJwk.kid,
          reason: undefined,
          linkedToSession: undefined,
          preview: false,
          grounds: undefined,
          acceptance: undefined,
          verifiedAt,
          connectionId: undefined,
          withheldRelations: [],
        },
      ]);
    });

    it(`tells the source application who imported its ${kind} session, and nothing of theirs`, async () => {
      const { original, request } = await offer(kind);
      const copy = sessionOf(await harness.client.import(target.apiKey, request));
      expect(await imports(source, outgoing)).to.deep.equal([
        {
          outcome: ImportOutcome.IMPORT_OUTCOME_IMPORTED,
          createdAt: copy.createdAt,
          applicationId: target.applicationId,
          sessionKind: wireKinds[kind],
          sharedFromSession: original,
          sharedFromApplication: source.applicationId,
          sessionId: undefined,
          sourceStatus: undefined,
          trustReview: undefined,
          apiKeyId: undefined,
          gateway: undefined,
          shareTokenId: jtiOf(request.shareToken),
          signingKeyId: harness.signer.privateJwk.kid,
          reason: undefined,
          linkedToSession: undefined,
          preview: false,
          grounds: undefined,
          acceptance: undefined,
          verifiedAt: undefined,
          connectionId: undefined,
          withheldRelations: [],
        },
      ]);
    });
  }

  it('has refused attempts for the application that made them, with what is known of each', async () => {
    const { client } = harness;
    const { original, request } = await offer('business');
    await failureOf(client.import(target.apiKey, { ...request, shareToken: 'nonsense' }));
    const wrong = { ...request, workflowId: target.workflows.user };
    await failureOf(client.import(target.apiKey, wrong));
    await failureOf(client.import(target.apiKey, { ...wrong, validateOnly: true }));
    const [preview, second, first] = await imports(target);
    expect(preview).to.deep.equal({ ...second, preview: true, createdAt: preview?.createdAt });
    expect(first).to.include({
      outcome: ImportOutcome.IMPORT_OUTCOME_REFUSED,
      reason: 'SHARE_TOKEN_INVALID',
      preview: false,
      grounds: undefined,
      applicationId: target.applicationId,
      sessionKind: undefined,
      sharedFromSession: undefined,
      sharedFromApplication: undefined,
      shareTokenId: undefined,
      signingKeyId: undefined,
    });
    expect(second).to.include({
      outcome: ImportOutcome.IMPORT_OUTCOME_REFUSED,
      reason: 'WORKFLOW_KIND_MISMATCH',
      applicationId: target.applicationId,
      sessionKind: WireKind.SESSION_KIND_BUSINESS,
      sharedFromSession: original,
      sharedFromApplication: source.applicationId,
      shareTokenId: jtiOf(request.shareToken),
      signingKeyId: harness.signer.privateJwk.kid,
      sessionId: undefined,
      sourceStatus: undefined,
      trustReview: undefined,
    });
    for (const { apiKeyId, createdAt } of [first ?? {}, second ?? {}] as ImportRecord[]) {
      expect(apiKeyId).to.be.a('string');
      expect(createdAt).to.be.a('date');
    }
  });

  it('is empty for whoever has no part in an import', async () => {
    const { client, db } = harness;
    const { request } = await offer('user');
    await client.import(target.apiKey, request);
    await failureOf(client.import(target.apiKey, request));
    const third = await createTenant(db);
    expect(await imports(third)).to.deep.equal([]);
    expect(await imports(third, outgoing)).to.deep.equal([]);
    expect(await imports(third, { otherApplicationId: source.applicationId })).to.deep.equal([]);
    expect(await imports(source)).to.deep.equal([]);
    expect(await imports(target, outgoing)).to.deep.equal([]);
    expect(await imports(source, outgoing)).to.have.length(1);
    expect(await imports(target)).to.have.length(2);
  });

  it('still has an import whose copy, and whose original, were deleted', async () => {
    const { client, db } = harness;
    const { original, request } = await offer('user');
    const { sessionId } = sessionOf(await client.import(target.apiKey, request));
    for (const id of [toId<SessionId>(sessionId), original]) {
      await db('user_sessions')
        .where({ id: toBinary(id) })
        .delete();
    }
    expect(await imports(target)).to.have.length(1);
    expect(await imports(source, outgoing)).to.have.length(1);
  });

  describe('is narrowed', () => {
    const sessions = (records: readonly ImportRecord[]) =>
      records.map(({ sharedFromSession }) => sharedFromSession);

    it('to an outcome', async () => {
      const { client } = harness;
      const { request } = await offer('user');
      await client.import(target.apiKey, request);
      await failureOf(client.import(target.apiKey, request));
      expect(await reasons(target)).to.deep.equal(['SESSION_ALREADY_IMPORTED', undefined]);
      expect(await reasons(target, imported)).to.deep.equal([undefined]);
      expect(await reasons(target, refused)).to.deep.equal(['SESSION_ALREADY_IMPORTED']);
      expect(await reasons(source, { ...outgoing, ...imported })).to.deep.equal([undefined]);
    });

    it('to a kind, which refused attempts of an unknown kind do not have', async () => {
      const { client } = harness;
      const [user, business] = [await offer('user'), await offer('business')];
      for (const { request } of [user, business]) await client.import(target.apiKey, request);
      await failureOf(client.import(target.apiKey, { ...user.request, shareToken: 'x' }));
      await failureOf(client.import(target.apiKey, business.request));
      const ofUsers = { sessionKind: WireKind.SESSION_KIND_USER };
      const ofBusinesses = { sessionKind: WireKind.SESSION_KIND_BUSINESS };
      expect(await imports(target)).to.have.length(4);
      expect(sessions(await imports(target, ofUsers))).to.deep.equal([user.original]);
      expect(sessions(await imports(target, ofBusinesses))).to.deep.equal([
        business.original,
        business.original,
      ]);
      expect(sessions(await imports(source, { ...outgoing, ...ofUsers }))).to.deep.equal([
        user.original,
      ]);
    });

    it('to the application on the other side', async () => {
      const { client, db } = harness;
      const other = await createTenant(db);
      const [mine, theirs] = [await offer('user'), await offer('user', other)];
      const onward = await offer('user', source, other);
      for (const { request } of [mine, theirs, mine]) {
        await client.import(target.apiKey, request).catch(() => undefined);
      }
      await client.import(other.apiKey, onward.request);
      const from = (tenant: Tenant) => ({ otherApplicationId: tenant.applicationId });
      expect(sessions(await imports(target, from(source)))).to.deep.equal([
        mine.original,
        mine.original,
      ]);
      expect(sessions(await imports(target, from(other)))).to.deep.equal([theirs.original]);
      expect(sessions(await imports(source, { ...outgoing, ...from(other) }))).to.deep.equal([
        onward.original,
      ]);
      expect(sessions(await imports(source, { ...outgoing, ...from(target) }))).to.deep.equal([
        mine.original,
      ]);
    });

    it('to a time, whose beginning is part of it and whose end is not', async () => {
      await enter(['2026-01-01 00:00:00.000000', '2026-01-02 00:00:00.000000']);
      await refuse(['2026-01-02 00:00:00.000000', '2026-01-03 00:00:00.000000']);
      const count = async (since?: string, until?: string, more = {}) =>
        (
          await imports(more === outgoing ? source : target, {
            ...more,
            ...(since === undefined ? {} : { since: new Date(since) }),
            ...(until === undefined ? {} : { until: new Date(until) }),
          })
        ).length;
      expect(await count('2026-01-01T00:00:00Z', '2026-01-03T00:00:00.001Z')).to.equal(4);
      expect(await count('2026-01-01T00:00:00.001Z', '2026-01-03T00:00:00Z')).to.equal(2);
      expect(await count('2026-01-02T00:00:00Z')).to.equal(3);
      expect(await count(undefined, '2026-01-02T00:00:00Z')).to.equal(1);
      expect(await count('2026-01-02T00:00:00Z', undefined, outgoing)).to.equal(1);
      expect(await count('0001-01-01T00:00:00Z', '9999-12-31T23:59:59Z')).to.equal(4);
    });
  });

  describe('in pages', () => {
    /** Within one millisecond, and some of them within one microsecond. */
    const moments = [
      ...['2026-02-01 00:00:00.123001', '2026-02-01 00:00:00.123002'],
      ...Array.from({ length: 5 }, () => '2026-02-01 00:00:00.123456'),
      ...['2026-02-01 00:00:00.123457', '2026-02-01 00:00:00.124000'],
    ];
    const nameOf = (record: ImportRecord) => record.sharedFromSession ?? record.gateway;

    for (const [side, request] of [
      ['of the importing application', {}],
      ['of the source application', outgoing],
    ] as const) {
      it(`${side} has everything once, in the same order, also what came at one moment`, async () => {
        await enter(moments);
        await refuse(moments);
        const tenant = request === outgoing ? source : target;
        const all = (await imports(tenant, request)).map(nameOf);
        expect(all).to.have.length(request === outgoing ? moments.length : 2 * moments.length);
        expect(new Set(all).size).to.equal(all.length);
        for (const pageSize of [1, 2, 3, 4, 7]) {
          const pages = await pagesOf(tenant, { ...request, pageSize });
          expect(pages.flat().map(nameOf)).to.deep.equal(all);
          for (const page of pages.slice(0, -1)) expect(page).to.have.length(pageSize);
          expect(pages.at(-1)).not.to.be.empty;
        }
      });
    }

    for (const [what, fill, request, reader] of [
      ['own imports', enter, imported, () => target],
      ['refusals', refuse, refused, () => target],
      ['imports by others', enter, outgoing, () => source],
    ] as const) {
      it(`looks at a bounded number of ${what} for one page, and finds what is wanted all the same`, async () => {
        const { client } = harness;
        const { original, request: offered } = await offer('business');
        if (what === 'refusals') {
          await client.import(target.apiKey, offered);
          await failureOf(client.import(target.apiKey, offered));
        } else await client.import(target.apiKey, offered);
        // All of them are newer, and of another kind, or of none.
        await fill(Array.from({ length: 2_100 }, () => '2027-01-01 00:00:00.000000'));
        const wanted = { ...request, sessionKind: WireKind.SESSION_KIND_BUSINESS };
        const pages = await pagesOf(reader(), wanted);
        expect(pages.map(({ length }) => length)).to.deep.equal([0, 1]);
        expect(pages.flat()[0]?.sharedFromSession).to.equal(original);
      });
    }

    it('begins with the newest', async () => {
      await enter(['2026-02-01 00:00:00.000001', '2026-02-03 00:00:00.000000']);
      await refuse(['2026-02-02 00:00:00.000000', '2026-02-04 00:00:00.000000']);
      const days = (await pagesOf(target, { pageSize: 1 }))
        .flat()
        .map(({ createdAt }) => createdAt?.getUTCDate());
      expect(days).to.deep.equal([4, 3, 2, 1]);
    });

    it('has 50 of them if nothing else is asked for, and 500 at most', async () => {
      await enter(Array.from({ length: 300 }, () => '2026-02-01 00:00:00.000000'));
      await refuse(Array.from({ length: 300 }, () => '2026-02-01 00:00:00.000000'));
      expect(await imports(target)).to.have.length(50);
      expect(await imports(target, { pageSize: 2_000_000_000 })).to.have.length(500);
      expect((await pagesOf(target, { pageSize: 501 })).map(({ length }) => length)).to.deep.equal([
        500, 100,
      ]);
    });

    it('has tokens that tell a source application nothing that the list does not', async () => {
      await enter(moments);
      const { nextPageToken, imports: page } = await list(source.apiKey, {
        ...outgoing,
        pageSize: 1,
      });
      const [copy] = await harness
        .db('session_imports')
        .where({ source_session_id: toBinary(toId(page[0]?.sharedFromSession ?? '')) })
        .select<{ session_id: Buffer }[]>('session_id');
      const token = Buffer.from(nextPageToken, 'base64url').toString();
      expect(token).to.include(page[0]?.sharedFromSession);
      expect(token.replaceAll('-', '')).not.to.include(copy?.session_id.toString('hex'));
    });
  });

  describe('is refused', () => {
    const violations = async (request: Partial<ListImportsRequest>) => {
      const failure = await failureOf(list(target.apiKey, request));
      expect(failure).to.include({ code: 'INVALID_ARGUMENT', reason: 'INVALID_REQUEST' });
      return failure.badRequest?.fieldViolations.map(({ field }) => field);
    };

    it('for its form, naming every field that is wrong', async () => {
      expect(
        await violations({
          direction: ImportDirection.UNRECOGNIZED,
          outcome: ImportOutcome.UNRECOGNIZED,
          sessionKind: WireKind.UNRECOGNIZED,
          otherApplicationId: 'mine',
          since: new Date('2026-01-02T00:00:00Z'),
          until: new Date('2026-01-02T00:00:00Z'),
        }),
      ).to.deep.equal(['direction', 'outcome', 'session_kind', 'other_application_id', 'until']);
    });

    it('if it asks for what others were refused', async () => {
      expect(await violations({ ...outgoing, ...refused })).to.deep.equal(['outcome']);
    });

    it('for times that are none', async () => {
      const farAway = { seconds: 1e15, nanos: 0 };
      const wrong = [new Date('0000-12-31T23:59:59Z'), new Date('+010000-01-01T00:00:00Z')];
      for (const time of wrong) expect(await violations({ since: time })).to.deep.equal(['since']);
      const until = new Date(0);
      until.getTime = () => farAway.seconds * 1_000;
      expect(await violations({ until })).to.deep.equal(['until']);
    });

    it('for times whose seconds are more than any number of JavaScript', async () => {
      // Field 5, since, is a message whose field 1 is the largest that an int64 can be, or the smallest.
      for (const seconds of ['ffffffffffffffff7f', '80808080808080808001']) {
        const bytes = Buffer.from(`08${seconds}`, 'hex');
        const request = Buffer.concat([Buffer.from([0x2a, bytes.length]), bytes]);
        const method = { ...SessionTraceService.listImports, requestSerialize: () => request };
        const all = ListImportsRequest.fromPartial({});
        const failure = await failureOf(harness.client.call(method, target.apiKey, all));
        expect(failure.badRequest?.fieldViolations.map(({ field }) => field)).to.deep.equal([
          'since',
        ]);
      }
    });

    it('for its page', async () => {
      expect(await violations({ pageSize: -1 })).to.deep.equal(['page_size']);
      await enter(['2026-02-01 00:00:00.000000', '2026-02-02 00:00:00.000000']);
      const { nextPageToken } = await list(target.apiKey, { pageSize: 1 });
      expect(nextPageToken).not.to.equal('');
      const [digest, [at, id]] = JSON.parse(Buffer.from(nextPageToken, 'base64url').toString()) as [
        string,
        [string, string],
      ];
      const forged = (cursor: unknown) =>
        Buffer.from(JSON.stringify([digest, cursor])).toString('base64url');
      expect(await imports(target, { pageToken: forged([at, id]) })).to.have.length(1);
      const wrong = [
        { pageToken: 'nonsense' },
        { pageToken: nextPageToken, ...imported },
        { pageToken: nextPageToken, ...outgoing },
        { pageToken: nextPageToken, since: new Date(0) },
        { pageToken: forged(['2026-02-30T00:00:00.000000', id]) },
        { pageToken: forged(["2026-02-01T00:00:00.000000' OR 1", id]) },
        { pageToken: forged(['0000-01-01T00:00:00.000000', id]) },
        { pageToken: forged([at]) },
        { pageToken: forged([at, id, id]) },
        { pageToken: forged([at, 'x']) },
      ];
      for (const request of wrong) expect(await violations(request)).to.deep.equal(['page_token']);
      const others = failureOf(list(source.apiKey, { pageToken: nextPageToken }));
      expect((await others).reason).to.equal('INVALID_REQUEST');
    });
  });
});

/** A random id, whose order says nothing about when it was made. */
function anyId(): Id<'session'> & ApplicationId {
  const hex = randomBytes(16).toString('hex');
  return toId(hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-'));
}

function jtiOf(token: string): unknown {
  const [, payload = ''] = token.split('.');
  return (JSON.parse(Buffer.from(payload, 'base64url').toString()) as { jti: unknown }).jti;
}
