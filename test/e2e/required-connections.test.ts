import { expect } from 'chai';
import type { ConnectionTerms } from '../../src/model/connection';
import {
  fromBinary,
  newId,
  toBinary,
  type ConnectionId,
  type SessionId,
} from '../../src/model/ids';
import { sessionKinds, type SessionKind } from '../../src/model/session';
import {
  ImportDirection,
  ListImportsRequest,
  SessionTraceService,
} from '../../src/gen/sessionimport/v1/session_trace';
import {
  GroundsKind,
  SessionShareService,
  ShareSessionRequest,
} from '../../src/gen/sessionimport/v1/session_share';
import type { ImportSessionRequest } from '../../src/gen/sessionimport/v1/session_import';
import { signShareToken } from '../../src/token/signing';
import { failureOf } from '../support/client';
import { copiesIn, createCompany, ledgerOf } from '../support/companies';
import { Connections } from '../support/connection-calls';
import { refusal, requestFor, type Asked } from '../support/connected-imports';
import { connect, disconnect } from '../support/connections';
import { createSession, createTenant, type Tenant } from '../support/fixtures';
import { select } from '../support/rows';
import { startHarness, type Harness } from '../support/service';

const { shareSession } = SessionShareService;
const { listImports } = SessionTraceService;

const usedAt = async (id: ConnectionId) =>
  (await select('SELECT used_at FROM session_connections WHERE id = ?', [toBinary(id)]))[0]?.[
    'used_at'
  ];

/** A moment as MySQL writes it. */
const stored = (moment: Date) => moment.toISOString().replace('T', ' ').replace('Z', '000');

describe('connections that are required', () => {
  let harness: Harness;
  let now = new Date();
  /** A fresh one for each test. */
  let target: Tenant;
  before(async () => {
    harness = await startHarness({
      environment: { REQUIRE_CONNECTIONS: 'true' },
      clock: () => now,
    });
  });
  after(() => harness.stop());
  beforeEach(async () => {
    now = new Date();
    target = await createTenant(harness.db);
  });

  const session = (kind: SessionKind) =>
    kind === 'user'
      ? createSession(harness.db, harness.source, kind)
      : createSession(harness.db, harness.source, 'user').then((person) =>
          createCompany(harness.db, harness.source, [person]),
        );

  const sharing = (sessionId: SessionId, forApplicationId: string, asked: Asked = {}) =>
    harness.client.call(
      shareSession,
      harness.source.apiKey,
      ShareSessionRequest.fromPartial({
        sessionId,
        forApplicationId,
        includeLinkedSessions: asked.linked ?? false,
        relations: [...(asked.relations ?? [])],
        ttl: { seconds: asked.ttl ?? 600, nanos: 0 },
        ...(asked.grounds ? { grounds: { kind: GroundsKind.GROUNDS_KIND_CONSENT } } : {}),
      }),
    );

  const importing = (request: Partial<ImportSessionRequest>) =>
    harness.client.import(target.apiKey, request);

  /** What becomes of a share, a preview and an import that ask for something. */
  async function answers(kind: SessionKind, asked: Asked = {}) {
    const id = await session(kind);
    const request = await requestFor(harness, target, kind, id, asked);
    const preview = await refusal(importing({ ...request, validateOnly: true }));
    const imported = await refusal(importing(request));
    expect(preview, 'a preview').to.equal(imported);
    expect((await copiesIn(target, id)).length).to.equal(imported === undefined ? 1 : 0);
    return { share: await refusal(sharing(id, target.applicationId, asked)), imported };
  }

  const terms: readonly {
    readonly name: string;
    readonly when?: string;
    readonly terms: Partial<ConnectionTerms>;
    readonly allowed: Asked;
    /** Undefined: whatever is asked, a share or an import exceeds it. */
    readonly exceeding?: Asked;
    readonly kind?: SessionKind;
    /** Whether a share can exceed the term; default: yes. */
    readonly shares?: false;
  }[] = [
    {
      name: 'linked_sessions',
      terms: { linkedSessions: false },
      allowed: {},
      exceeding: { linked: true },
      kind: 'business',
    },
    {
      name: 'trust_review',
      terms: { trustReview: false },
      allowed: {},
      exceeding: { trustReview: true },
      shares: false,
    },
    {
      name: 'longest_ttl',
      terms: { longestTtl: 300 },
      allowed: { ttl: 300 },
      exceeding: { ttl: 301 },
    },
    {
      name: 'relations',
      terms: { linkedSessions: false, relations: ['locations', 'logs', 'contact_details'] },
      allowed: { relations: ['locations', 'contact_details'] },
      exceeding: { relations: ['locations', 'expected_details'] },
    },
    {
      name: 'relations',
      // Who names nothing shares everything.
      when: 'none are named',
      terms: { linkedSessions: false, relations: ['locations', 'logs'] },
      allowed: { relations: ['logs'] },
      exceeding: {},
    },
    {
      name: 'grounds_required',
      terms: { groundsRequired: true },
      allowed: { grounds: true },
      exceeding: {},
    },
  ];

  for (const kind of sessionKinds) {
    it(`are needed to share and to import a ${kind} session, and are marked as used`, async () => {
      expect(await answers(kind)).to.deep.equal({
        share: 'CONNECTION_NOT_ACTIVE',
        imported: 'CONNECTION_NOT_ACTIVE',
      });
      const id = await connect(harness.client, harness.source, target);
      expect(await usedAt(id)).to.equal(null);
      expect(await answers(kind)).to.deep.equal({ share: undefined, imported: undefined });
      expect(await usedAt(id)).to.equal(stored(now));
      await disconnect(harness.client, harness.source, id);
      expect((await answers(kind)).imported).to.equal('CONNECTION_NOT_ACTIVE');
    });

    it(`allow the kinds of their terms: ${kind}`, async () => {
      const [other] = sessionKinds.filter((each) => each !== kind) as [SessionKind];
      await connect(harness.client, harness.source, target, {
        kinds: [kind],
        linkedSessions: false,
      });
      expect(await answers(kind)).to.deep.equal({ share: undefined, imported: undefined });
      const refused = 'CONNECTION_TERMS_EXCEEDED session_kinds';
      expect(await answers(other)).to.deep.equal({ share: refused, imported: refused });
    });

    for (const { name, when, terms: given, allowed, exceeding, kind: only, shares } of terms) {
      if (only && only !== kind) continue;
      it(`allow what the term ${name} allows ${when ? `if ${when} ` : ''}(${kind})`, async () => {
        await connect(harness.client, harness.source, target, given);
        expect(await answers(kind, allowed)).to.deep.equal({
          share: undefined,
          imported: undefined,
        });
        const refused = `CONNECTION_TERMS_EXCEEDED ${name}`;
        expect(await answers(kind, exceeding)).to.deep.equal({
          share: shares === false ? undefined : refused,
          imported: refused,
        });
      });
    }

    it(`hold until the moment at which their certification ends (${kind})`, async () => {
      const until = new Date('2027-02-28T12:00:00.000Z');
      await connect(harness.client, harness.source, target, { certifiedUntil: until });
      now = new Date(until.getTime() - 1);
      const [first, second] = [await session(kind), await session(kind)];
      const issuedAt = new Date(until.getTime() - 60_000);
      const request = async (id: SessionId) => ({
        shareToken: await signShareToken(harness.signer.privateJwk, {
          sessionId: id,
          kind,
          fromApplicationId: harness.source.applicationId,
          forApplicationId: target.applicationId,
          lifetime: 600,
          issuedAt,
        }),
        workflowId: target.workflows[kind],
      });
      expect(await refusal(importing(await request(first)))).to.equal(undefined);
      expect(await refusal(sharing(first, target.applicationId))).to.equal(undefined);
      now = until;
      expect(await refusal(importing(await request(second)))).to.equal('CONNECTION_NOT_ACTIVE');
      expect(await refusal(sharing(second, target.applicationId))).to.equal(
        'CONNECTION_NOT_ACTIVE',
      );
      expect((await copiesIn(target, second)).length).to.equal(0);
    });
  }

  it('are of one direction, and of these two applications', async () => {
    const { db, source, client } = harness;
    const third = await createTenant(db);
    await connect(client, target, source);
    await connect(client, third, target);
    await connect(client, source, third);
    expect((await answers('user')).imported).to.equal('CONNECTION_NOT_ACTIVE');
  });

  it('do not hold while they are only proposed', async () => {
    const { client, source } = harness;
    await new Connections(client).propose(source, 'source', target);
    expect((await answers('user')).imported).to.equal('CONNECTION_NOT_ACTIVE');
  });

  it('that are missing hide whether the recipient and the session exist', async () => {
    const id = await session('user');
    const known = await failureOf(sharing(id, target.applicationId));
    const unknownId = newId();
    const unknown = await failureOf(sharing(id, unknownId));
    expect(JSON.stringify(unknown).replaceAll(unknownId, target.applicationId)).to.equal(
      JSON.stringify(known),
    );
    const noSession = await failureOf(sharing(newId(), target.applicationId));
    expect(noSession).to.deep.equal(known);
  });

  it('are on record with every import that rests on them, linked ones included, for both sides', async () => {
    const { db, source, client } = harness;
    const connectionId = await connect(client, source, target);
    const person = await createSession(db, source, 'user');
    const company = await createCompany(db, source, [person]);
    await importing(await requestFor(harness, target, 'business', company, { linked: true }));
    for (const id of [company, person]) {
      const [entry] = await ledgerOf(target, id);
      expect(fromBinary(entry?.['connection_id'] as Buffer)).to.equal(connectionId);
    }
    for (const [apiKey, direction] of [
      [target.apiKey, ImportDirection.IMPORT_DIRECTION_INCOMING],
      [source.apiKey, ImportDirection.IMPORT_DIRECTION_OUTGOING],
    ] as const) {
      const request = ListImportsRequest.fromPartial({
        direction,
        otherApplicationId:
          direction === ImportDirection.IMPORT_DIRECTION_OUTGOING
            ? target.applicationId
            : source.applicationId,
      });
      const { imports } = await client.call(listImports, apiKey, request);
      expect(imports.map((each) => each.connectionId)).to.deep.equal([connectionId, connectionId]);
    }
    expect(await usedAt(connectionId)).to.equal(stored(now));
  });

  it('are on record with the refusals by their terms, and with no others', async () => {
    const { source, client } = harness;
    const refuse = async (asked: Asked) =>
      importing(await requestFor(harness, target, 'user', await session('user'), asked)).catch(
        () => undefined,
      );
    await refuse({});
    const connectionId = await connect(client, source, target, { trustReview: false });
    await refuse({ trustReview: true });
    const { imports } = await client.call(
      listImports,
      target.apiKey,
      ListImportsRequest.fromPartial({}),
    );
    expect(imports.map((each) => [each.reason, each.connectionId])).to.deep.equal([
      ['CONNECTION_TERMS_EXCEEDED', connectionId],
      ['CONNECTION_NOT_ACTIVE', undefined],
    ]);
  });

  it('that have ended do not change the answer to a repeated request', async () => {
    const { source, client } = harness;
    const connectionId = await connect(client, source, target);
    const request = {
      ...(await requestFor(harness, target, 'user', await session('user'))),
      requestId: newId(),
    };
    const first = await importing(request);
    await disconnect(client, source, connectionId);
    expect(await importing(request)).to.deep.equal(first);
  });
});

describe('connections that are not required', () => {
  it('are neither asked for nor used', async () => {
    const harness = await startHarness();
    const { db, source, target, client } = harness;
    const id = await connect(client, source, target, {
      kinds: ['business'],
      linkedSessions: false,
    });
    const original = await createSession(db, source, 'user');
    await client.import(target.apiKey, await requestFor(harness, target, 'user', original));
    expect(await usedAt(id)).to.equal(null);
    const [entry] = await ledgerOf(target, original);
    expect(entry?.['connection_id']).to.equal(null);
    await harness.stop();
  });
});
