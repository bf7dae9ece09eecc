import { expect } from 'chai';
import { newId, toBinary, toId, type SessionId } from '../../src/model/ids';
import {
  SessionKind as WireKind,
  SessionStatus as WireStatus,
  type Session,
} from '../../src/gen/sessionimport/v1/session_import';
import {
  ListSessionsRequest,
  SessionReadService,
} from '../../src/gen/sessionimport/v1/session_read';
import type { SessionKind } from '../../src/model/session';
import { failureOf, sessionOf } from '../support/client';
import { createSession, createTenant, type Tenant } from '../support/fixtures';
import { countingSteps } from '../support/rows';
import { startHarness, type Harness } from '../support/service';

describe('ListSessions', () => {
  let harness: Harness;
  before(async () => {
    harness = await startHarness();
  });
  after(() => harness.stop());

  const list = ({ apiKey }: Tenant, request: Partial<ListSessionsRequest> = {}) =>
    harness.client.call(
      SessionReadService.listSessions,
      apiKey,
      ListSessionsRequest.fromPartial(request),
    );

  /** All pages of a list, and how many there were. */
  const all = async (
    tenant: Tenant,
    request: Partial<ListSessionsRequest>,
  ): Promise<{ sessions: Session[]; pages: number }> => {
    const sessions: Session[] = [];
    let pages = 0;
    let pageToken = '';
    do {
      const page = await list(tenant, { ...request, pageToken });
      sessions.push(...page.sessions);
      pageToken = page.nextPageToken;
      pages++;
    } while (pageToken !== '');
    return { sessions, pages };
  };

  const idsOf = ({ sessions }: { readonly sessions: readonly Session[] }): string[] =>
    sessions.map(({ sessionId }) => sessionId);

  const importInto = async (
    to: Tenant,
    kind: SessionKind,
    original: SessionId,
    more: object = {},
  ): Promise<Session> => {
    const { signer, source, client } = harness;
    const shareToken = await signer.share(source, to, kind, original);
    const workflowId = to.workflows[kind];
    return sessionOf(await client.import(to.apiKey, { shareToken, workflowId, ...more }));
  };

  it('shows sessions of both kinds, newest first, as the import has told of them but for the URL', async () => {
    const { db, source } = harness;
    const tenant = await createTenant(db);
    const told: Session[] = [];
    for (const kind of ['user', 'business', 'user'] as const) {
      const original = await createSession(db, source, kind);
      told.unshift(await importInto(tenant, kind, original, { vendorData: `a ${kind}` }));
    }
    const { sessions, nextPageToken } = await list(tenant);
    expect(sessions).to.deep.equal(told.map((session) => ({ ...session, sessionUrl: '' })));
    expect(nextPageToken).to.equal('');
  });

  it('gives pages over both kinds, each session once, also those of one moment', async () => {
    const { db } = harness;
    const tenant = await createTenant(db);
    const moments = [
      '2026-01-02 03:04:05.000001',
      '2026-01-02 03:04:05.000001',
      '2026-01-02 03:04:05.000002',
      '2026-01-02 03:04:05.000999',
      '2026-01-02 03:04:05.001000',
    ];
    const expected: { id: string; moment: string }[] = [];
    for (const moment of [...moments, ...moments]) {
      for (const kind of ['user', 'business'] as const) {
        const id = await createSession(db, tenant, kind, { created_at: moment });
        expected.push({ id, moment });
      }
    }
    expected.sort((a, b) => (a.moment + a.id < b.moment + b.id ? 1 : -1));
    for (const pageSize of [1, 3, 7, 20, 500]) {
      const { sessions, pages } = await all(tenant, { pageSize });
      expect(idsOf({ sessions })).to.deep.equal(expected.map(({ id }) => id));
      expect(pages).to.equal(Math.ceil(expected.length / pageSize));
    }
  });

  it('chooses by kind, status, vendor, origin and time, and by all of them together', async () => {
    const { db, source } = harness;
    const tenant = await createTenant(db);
    const originals = {
      user: await createSession(db, source, 'user', { status: 'Declined' }),
      business: await createSession(db, source, 'business'),
    };
    const user = await importInto(tenant, 'user', originals.user, {
      vendorData: 'Ana',
      trustReview: true,
    });
    const business = await importInto(tenant, 'business', originals.business, {
      vendorData: 'Ana',
    });
    const old = await createSession(db, tenant, 'user', {
      created_at: new Date('2020-02-02T00:00:00Z'),
      status: 'In Progress',
    });
    const found = async (request: Partial<ListSessionsRequest>): Promise<string[]> =>
      idsOf(await all(tenant, request));
    const ids = { user: user.sessionId, business: business.sessionId };

    expect(await found({})).to.deep.equal([ids.business, ids.user, old]);
    expect(await found({ sessionKind: WireKind.SESSION_KIND_USER })).to.deep.equal([ids.user, old]);
    expect(await found({ sessionKind: WireKind.SESSION_KIND_BUSINESS })).to.deep.equal([
      ids.business,
    ]);
    const { SESSION_STATUS_DECLINED, SESSION_STATUS_IN_PROGRESS } = WireStatus;
    expect(await found({ statuses: [SESSION_STATUS_DECLINED] })).to.deep.equal([ids.user]);
    expect(
      await found({ statuses: [SESSION_STATUS_IN_PROGRESS, SESSION_STATUS_DECLINED] }),
    ).to.deep.equal([ids.user, old]);
    expect(await found({ vendorData: 'Ana' })).to.deep.equal([ids.business, ids.user]);
    for (const vendorData of ['ana', 'Ana ', 'Aná']) {
      expect(await found({ vendorData })).to.deep.equal([]);
    }
    expect(await found({ sharedFromSession: originals.business })).to.deep.equal([ids.business]);
    expect(await found({ sharedFromSession: newId() })).to.deep.equal([]);
    const sharedFromApplication = source.applicationId;
    expect(await found({ sharedFromApplication })).to.deep.equal([ids.business, ids.user]);
    expect(await found({ sharedFromApplication: newId() })).to.deep.equal([]);
    const moment = new Date('2020-02-02T00:00:00Z');
    expect(await found({ createdUntil: moment })).to.deep.equal([]);
    expect(await found({ createdUntil: new Date(moment.getTime() + 1) })).to.deep.equal([old]);
    expect(await found({ createdSince: moment })).to.deep.equal([ids.business, ids.user, old]);
    expect(await found({ createdSince: new Date(moment.getTime() + 1) })).to.deep.equal([
      ids.business,
      ids.user,
    ]);
    const everything = {
      sessionKind: WireKind.SESSION_KIND_USER,
      statuses: [SESSION_STATUS_DECLINED],
      vendorData: 'Ana',
      sharedFromSession: originals.user,
      sharedFromApplication,
      createdSince: moment,
      createdUntil: new Date(Date.now() + 60_000),
    };
    expect(await found(everything)).to.deep.equal([ids.user]);
    for (const other of [
      { sessionKind: WireKind.SESSION_KIND_BUSINESS },
      { statuses: [SESSION_STATUS_IN_PROGRESS] },
      { vendorData: 'Bob' },
      { sharedFromSession: originals.business },
      { sharedFromApplication: tenant.applicationId },
      { createdSince: new Date(everything.createdUntil.getTime() - 1) },
    ]) {
      expect(await found({ ...everything, ...other })).to.deep.equal([]);
    }
  });

  it('does not walk through all sessions for the few that are wanted', async () => {
    const { db } = harness;
    const tenant = await createTenant(db);
    const seldom: string[] = [];
    for (const status of ['Abandoned', 'Approved', 'Abandoned'] as const) {
      const id = await createSession(db, tenant, 'user', { status });
      if (status === 'Abandoned') seldom.unshift(id);
      await copyOften(harness, id);
    }
    const request = { statuses: [WireStatus.SESSION_STATUS_ABANDONED], pageSize: 5 };
    const first = await list(tenant, request);
    expect(seldom).to.have.length(2);
    expect(idsOf(first)).to.have.length.below(2);
    expect(first.nextPageToken).not.to.equal('');
    const { sessions, pages } = await all(tenant, request);
    expect(idsOf({ sessions })).to.deep.equal(seldom);
    expect(pages).to.be.within(2, 9);
    expect(idsOf(await all(tenant, { pageSize: 500 }))).to.have.length(3 + 3 * 4_096);
  });

  it('walks through the sessions of a vendor alone, when that is asked for', async () => {
    const { db } = harness;
    const tenant = await createTenant(db);
    const old = new Date('2020-01-01T00:00:00Z');
    const vendor = await createVendor(harness, tenant, 'Ana');
    const first = await createSession(db, tenant, 'user', { ...vendor, created_at: old });
    await copyOften(harness, first);
    const seldom = await createSession(db, tenant, 'user', {
      ...(await createVendor(harness, tenant, 'Bob')),
      created_at: old,
    });
    for (let i = 0; i < 3; i++) await copyOften(harness, await createSession(db, tenant, 'user'));
    // So that MySQL knows how many there are, and that it could find many of the vendor soon.
    await db.raw('ANALYZE TABLE user_sessions');

    const { SESSION_STATUS_APPROVED } = WireStatus;
    for (const { request, found } of [
      { request: { vendorData: 'Ana', pageSize: 10 }, found: 10 },
      { request: { vendorData: 'Bob', pageSize: 10 }, found: 1 },
      { request: { vendorData: 'nobody', pageSize: 10 }, found: 0 },
      { request: { vendorData: 'Ana', createdUntil: old, pageSize: 10 }, found: 0 },
    ]) {
      const { result, rows } = await countingSteps(500, () => list(tenant, request));
      expect(idsOf(result)).to.have.length(found);
      expect(rows).to.be.below(500);
    }
    const request = { vendorData: 'Ana', statuses: [SESSION_STATUS_APPROVED], pageSize: 10 };
    const { result, rows } = await countingSteps(3 * 4_097, () => all(tenant, request));
    expect(idsOf(result)).to.deep.equal([first]);
    expect(rows).to.be.below(3 * 4_097);
    expect(idsOf(await all(tenant, { vendorData: 'Bob' }))).to.deep.equal([seldom]);
    expect(new Set(idsOf(await all(tenant, { vendorData: 'Ana', pageSize: 500 })))).to.have.length(
      4_097,
    );
  });

  it('does not even walk through all sessions of one vendor for the few that are wanted', async () => {
    const { db } = harness;
    const tenant = await createTenant(db);
    const vendor = await createVendor(harness, tenant, 'Ana');
    const seldom: string[] = [];
    for (const status of ['Abandoned', 'Approved'] as const) {
      const id = await createSession(db, tenant, 'user', { ...vendor, status });
      if (status === 'Abandoned') seldom.push(id);
      await copyOften(harness, id);
    }
    const request = {
      vendorData: 'Ana',
      statuses: [WireStatus.SESSION_STATUS_ABANDONED],
      sessionKind: WireKind.SESSION_KIND_USER,
      pageSize: 5,
    };
    const first = await list(tenant, request);
    expect(idsOf(first)).to.deep.equal([]);
    expect(first.nextPageToken).not.to.equal('');
    const { sessions, pages } = await all(tenant, request);
    expect(idsOf({ sessions })).to.deep.equal(seldom);
    expect(pages).to.equal(5);
  });

  it('reads no page again for those behind it, also among sessions of one moment', async () => {
    const { db } = harness;
    const tenant = await createTenant(db);
    await copyOften(harness, await createSession(db, tenant, 'user'));
    const costs: number[] = [];
    const seen: string[] = [];
    let pageToken = '';
    do {
      const request = { pageSize: 200, pageToken };
      const page = await countingSteps(3 * 200, () => list(tenant, request));
      costs.push(page.rows);
      seen.push(...idsOf(page.result));
      pageToken = page.result.nextPageToken;
    } while (pageToken !== '');
    expect(costs).to.have.length(Math.ceil(4_097 / 200));
    expect(new Set(seen)).to.have.length(4_097);
    expect(Math.max(...costs)).to.be.below(3 * 200);
  });

  it('passes over no session because others are deleted meanwhile', async () => {
    const { db } = harness;
    const tenant = await createTenant(db);
    const made = { created_at: '2026-01-01 00:00:00', status: 'Abandoned' } as const;
    const wanted: SessionId[] = [];
    for (let i = 0; i < 60; i++) wanted.push(await createSession(db, tenant, 'user', made));
    const unwanted = { status: 'Expired' } as const;
    for (let i = 0; i < 2; i++)
      await copyOften(harness, await createSession(db, tenant, 'user', unwanted));
    const others = db('user_sessions').where({
      application_id: toBinary(tenant.applicationId),
      status: 'Expired',
    });
    // Just as many as are looked at for one page: each that goes brings a wanted one into sight.
    await others
      .clone()
      .limit(2 * 4_097 - 2_000)
      .delete();
    const deleted = (async () => {
      for (let i = 0; i < 50; i++) await others.clone().limit(1).delete();
    })();
    const request = { statuses: [WireStatus.SESSION_STATUS_ABANDONED], pageSize: 500 };
    for (let round = 0; round < 5; round++) {
      expect(idsOf(await all(tenant, request))).to.have.members(wanted);
    }
    await deleted;
  });

  it('refuses page tokens that somebody has changed', async () => {
    const { db } = harness;
    const tenant = await createTenant(db);
    for (let i = 0; i < 2; i++) await createSession(db, tenant, 'user');
    const { nextPageToken } = await list(tenant, { pageSize: 1 });
    const [digest, [at, id]] = JSON.parse(Buffer.from(nextPageToken, 'base64url').toString()) as [
      string,
      [string, string],
    ];
    const forged = (place: unknown): string =>
      Buffer.from(JSON.stringify([digest, place])).toString('base64url');
    expect(forged([at, id])).to.equal(nextPageToken);
    for (const place of [
      ['2026-13-01T00:00:00.000000', id],
      ['2026-02-30T00:00:00.000000', id],
      ['0000-00-00T00:00:00.000000', id],
      ['2026-01-01T24:00:00.000000', id],
      [at.slice(0, -3), id],
      [at, 'x'],
      [at],
      at,
    ]) {
      const failure = await failureOf(list(tenant, { pageSize: 1, pageToken: forged(place) }));
      expect(failure, String(place)).to.include({ reason: 'INVALID_REQUEST' });
      expect(failure.badRequest?.fieldViolations.map(({ field }) => field)).to.deep.equal([
        'page_token',
      ]);
    }
  });
});

/** Adds a vendor user; returns what a session of it says. */
async function createVendor({ db }: Harness, { applicationId }: Tenant, name: string) {
  const [id, vendor_data] = [toBinary(newId()), Buffer.from(name)];
  await db('vendor_users').insert({
    id,
    application_id: toBinary(applicationId),
    vendor_data,
    created_at: new Date(),
  });
  return { vendor_entity_id: id, vendor_data };
}

/** Adds 4,096 sessions like one, but expired. */
async function copyOften({ db }: Harness, id: SessionId): Promise<void> {
  const four = '(SELECT 0 AS n UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3)';
  const joined = ['a', 'b', 'c', 'd', 'e', 'f'].map((name) => `${four} ${name}`).join(' JOIN ');
  const place = 'a.n + 4 * (b.n + 4 * (c.n + 4 * (d.n + 4 * (e.n + 4 * f.n))))';
  await db.raw(
    `INSERT INTO user_sessions (id, application_id, session_number, session_token, status,
       workflow_id, workflow_version, vendor_entity_id, vendor_data, created_at, updated_at)
     SELECT UNHEX(REPLACE(UUID(), '-', '')), s.application_id, s.session_number * 100000 + ${place},
       CONCAT(LEFT(s.session_token, 40), '-', ${place}), 'Expired', s.workflow_id,
       s.workflow_version, s.vendor_entity_id, s.vendor_data, s.created_at, s.updated_at
     FROM user_sessions s JOIN ${joined} WHERE s.id = ?`,
    [toBinary(toId(id))],
  );
}
