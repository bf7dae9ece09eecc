import { createHash, randomBytes } from 'node:crypto';
import { expect } from 'chai';
import { decodeJwt, importJWK, SignJWT } from 'jose';
import {
  GetProvenanceRequest,
  ImportDirection,
  ListImportsRequest,
  SessionTraceService,
  type ImportRecord,
} from '../../src/gen/sessionimport/v1/session_trace';
import {
  Grounds,
  GroundsKind,
  ListReceivedShareTokensRequest,
  ListShareTokensRequest,
  SessionShareService,
  ShareSessionRequest,
} from '../../src/gen/sessionimport/v1/session_share';
import { newId, toBinary, toId, type SessionId } from '../../src/model/ids';
import { sessionKinds, type SessionKind } from '../../src/model/session';
import { failureOf, sessionOf } from '../support/client';
import { createCompany } from '../support/companies';
import { createSession, createTenant, type Tenant } from '../support/fixtures';
import { select } from '../support/rows';
import { startHarness, type Harness } from '../support/service';

const { shareSession, listShareTokens, listReceivedShareTokens } = SessionShareService;

/** Grounds with every field. */
const full = (): Grounds => ({
  kind: GroundsKind.GROUNDS_KIND_CONSENT,
  purpose: 'onboarding',
  reference: `consent/${randomBytes(8).toString('hex')}`,
  obtainedAt: new Date('2026-02-03T04:05:06Z'),
  evidenceSha256: createHash('sha256').update('a signed form').digest('hex'),
});

/** Grounds with only their kind. */
const least = (): Grounds =>
  Grounds.fromPartial({ kind: GroundsKind.GROUNDS_KIND_LEGAL_OBLIGATION });

describe('the grounds of sharing', () => {
  let harness: Harness;
  before(async () => {
    harness = await startHarness();
  });
  after(() => harness.stop());

  const share = (
    from: Tenant,
    to: Tenant,
    sessionId: SessionId,
    grounds: object | undefined,
    more: Partial<ShareSessionRequest> = {},
  ) =>
    harness.client.call(
      shareSession,
      from.apiKey,
      ShareSessionRequest.fromPartial({
        sessionId,
        forApplicationId: to.applicationId,
        ...(grounds ? { grounds } : {}),
        ...more,
      }),
    );

  const importing = async (to: Tenant, kind: SessionKind, shareToken: string) => {
    const request = { shareToken, workflowId: to.workflows[kind] };
    return toId<SessionId>(sessionOf(await harness.client.import(to.apiKey, request)).sessionId);
  };

  const imports = async (
    tenant: Tenant,
    direction = ImportDirection.IMPORT_DIRECTION_INCOMING,
  ): Promise<ImportRecord[]> => {
    const request = ListImportsRequest.fromPartial({ direction });
    return (await harness.client.call(SessionTraceService.listImports, tenant.apiKey, request))
      .imports;
  };

  const outgoing = (tenant: Tenant) => imports(tenant, ImportDirection.IMPORT_DIRECTION_OUTGOING);

  const provenance = async (tenant: Tenant, sessionId: SessionId) =>
    (
      await harness.client.call(
        SessionTraceService.getProvenance,
        tenant.apiKey,
        GetProvenanceRequest.fromPartial({ sessionId }),
      )
    ).steps;

  const shares = async (tenant: Tenant, sessionId: SessionId) =>
    (
      await harness.client.call(
        listShareTokens,
        tenant.apiKey,
        ListShareTokensRequest.fromPartial({ sessionId }),
      )
    ).shareTokens;

  const received = async (tenant: Tenant) =>
    (
      await harness.client.call(
        listReceivedShareTokens,
        tenant.apiKey,
        ListReceivedShareTokensRequest.fromPartial({}),
      )
    ).shareTokens;

  const tenants = async (count: number) =>
    Promise.all(Array.from({ length: count }, () => createTenant(harness.db)));

  for (const kind of sessionKinds) {
    for (const [title, make] of [
      ['all that can be said', full],
      ['the kind alone', least],
      ['nothing', () => undefined],
    ] as const) {
      it(`are shown to both sides of a ${kind} session, and to nobody else: ${title}`, async () => {
        const [source, target, third] = (await tenants(3)) as [Tenant, Tenant, Tenant];
        const original = await createSession(harness.db, source, kind);
        const grounds = make();
        const { shareToken, details } = await share(source, target, original, grounds);

        expect(details?.grounds).to.deep.equal(grounds);
        expect((await shares(source, original))[0]?.grounds).to.deep.equal(grounds);
        const [inbound] = await received(target);
        expect(inbound?.shareTokenId).to.equal(details?.shareTokenId);
        expect(inbound?.grounds).to.deep.equal(grounds);
        expect(await received(third)).to.deep.equal([]);

        const copy = await importing(target, kind, shareToken);
        for (const records of [
          await imports(target),
          await outgoing(source),
          (await provenance(target, copy)).map(({ record }) => record),
        ]) {
          expect(records).to.have.length(1);
          expect(records[0]?.grounds).to.deep.equal(grounds);
        }
        expect(await imports(third)).to.deep.equal([]);
        expect(await outgoing(third)).to.deep.equal([]);
        const failure = await failureOf(provenance(third, copy));
        expect(failure.reason).to.equal('SESSION_NOT_FOUND');
      });
    }
  }

  it('are signed in the token, which has no such claim if none are given', async () => {
    const { db, source, target } = harness;
    const original = await createSession(db, source, 'user');
    const grounds = full();
    const { shareToken } = await share(source, target, original, {
      ...grounds,
      obtainedAt: new Date('2026-02-03T04:05:06.999Z'),
      evidenceSha256: grounds.evidenceSha256?.toUpperCase(),
    });
    expect(decodeJwt(shareToken)['grounds']).to.deep.equal({
      kind: 'consent',
      purpose: 'onboarding',
      reference: grounds.reference,
      obtained_at: Date.UTC(2026, 1, 3, 4, 5, 6) / 1_000,
      evidence_sha256: grounds.evidenceSha256,
    });
    const without = await share(source, target, original, undefined);
    expect(decodeJwt(without.shareToken)).not.to.have.property('grounds');
    const rows = await select(
      `SELECT grounds_kind, grounds_purpose, grounds_reference, grounds_obtained_at, grounds_evidence
       FROM share_tokens WHERE id = ?`,
      [toBinary(toId(without.details?.shareTokenId ?? ''))],
    );
    expect(Object.values(rows[0] ?? {})).to.deep.equal([null, null, null, null, null]);
  });

  it('can be of each kind', async () => {
    const { db, source, target } = harness;
    const original = await createSession(db, source, 'user');
    const known = Object.values(GroundsKind)
      .map(Number)
      .filter((kind) => kind > 0);
    expect(known).to.have.length(7);
    for (const kind of known) {
      const { details } = await share(source, target, original, { kind });
      expect(details?.grounds?.kind).to.equal(kind);
    }
  });

  it('may have values up to their bounds, and no others', async () => {
    const { db, source, target } = harness;
    const original = await createSession(db, source, 'user');
    const kind = GroundsKind.GROUNDS_KIND_CONTRACT;
    const soon = new Date(Date.now() + 60_000);
    for (const good of [
      { kind, purpose: 'a' },
      { kind, purpose: `${'x'.repeat(63)}9`, reference: `${'x'.repeat(127)}9` },
      { kind, purpose: 'A1._:/-z', reference: 'urn:agreement:2026/17' },
      { kind, obtainedAt: new Date(0) },
      { kind, obtainedAt: new Date() },
      { kind, evidenceSha256: '0'.repeat(64) },
    ]) {
      expect(await share(source, target, original, good)).to.have.property('shareToken');
    }
    for (const [field, ...wrong] of [
      ['kind', {}, { kind: 8 }, { kind: -1 }],
      [
        'purpose',
        ...['', 'x'.repeat(65), 'two words', '.dot', '-', 'ana@example.com', 'Zoë', 'a\n'].map(
          (purpose) => ({ kind, purpose }),
        ),
      ],
      [
        'reference',
        ...['', 'x'.repeat(129), 'Ana Sousa', '/a', '+49 151', 'a,b', 'a\0', '№1'].map(
          (reference) => ({ kind, reference }),
        ),
      ],
      ['obtained_at', { kind, obtainedAt: new Date(-1) }, { kind, obtainedAt: soon }],
      [
        'evidence_sha256',
        ...['', '0'.repeat(63), '0'.repeat(65), 'g'.repeat(64), `0x${'0'.repeat(62)}`].map(
          (evidenceSha256) => ({ kind, evidenceSha256 }),
        ),
      ],
    ] as const) {
      for (const grounds of wrong) {
        const failure = await failureOf(share(source, target, original, grounds));
        expect(failure, JSON.stringify(grounds)).to.include({
          code: 'INVALID_ARGUMENT',
          reason: 'INVALID_REQUEST',
        });
        expect(failure.badRequest?.fieldViolations.map((each) => each.field)).to.deep.equal([
          `grounds.${field}`,
        ]);
      }
    }
    const everything = { purpose: ' ', reference: '', obtainedAt: soon, evidenceSha256: 'x' };
    const failure = await failureOf(share(source, target, original, everything));
    expect(failure.badRequest?.fieldViolations.map((each) => each.field)).to.have.members(
      ['kind', 'purpose', 'reference', 'obtained_at', 'evidence_sha256'].map(
        (name) => `grounds.${name}`,
      ),
    );
  });

  it('stay within each step: C does not learn why A shared with B', async () => {
    for (const kind of sessionKinds) {
      const [a, b, c] = (await tenants(3)) as [Tenant, Tenant, Tenant];
      const original = await createSession(harness.db, a, kind);
      const [first, second] = [full(), { ...full(), kind: GroundsKind.GROUNDS_KIND_CONTRACT }];
      const inB = await importing(b, kind, (await share(a, b, original, first)).shareToken);
      const inC = await importing(c, kind, (await share(b, c, inB, second)).shareToken);

      const seenByC = await provenance(c, inC);
      expect(seenByC.map(({ record }) => record?.grounds)).to.deep.equal([second, undefined]);
      expect(seenByC.map(({ withheld }) => withheld)).to.deep.equal([false, true]);
      expect(JSON.stringify([seenByC, await imports(c)])).not.to.include(first.reference);
      expect((await provenance(b, inB)).map(({ record }) => record?.grounds)).to.deep.equal([
        first,
      ]);
      expect((await outgoing(a)).map(({ grounds }) => grounds)).to.deep.equal([first]);
      expect((await outgoing(b)).map(({ grounds }) => grounds)).to.deep.equal([second]);

      // Back in A, which sees both ends, but not what B and C have agreed.
      const third = full();
      const back = await importing(a, kind, (await share(c, a, inC, third)).shareToken);
      const seenByA = await provenance(a, back);
      expect(seenByA.map(({ record }) => record?.grounds)).to.deep.equal([third, undefined, first]);
    }
  });

  it('of a company are also those of the key people whose sessions come with it', async () => {
    const [source, target] = (await tenants(2)) as [Tenant, Tenant];
    const person = await createSession(harness.db, source, 'user');
    const company = await createCompany(harness.db, source, [person]);
    const grounds = full();
    const { shareToken } = await share(source, target, company, grounds, {
      includeLinkedSessions: true,
    });
    const answer = await harness.client.import(target.apiKey, {
      shareToken,
      workflowId: target.workflows.business,
      includeLinkedSessions: true,
      linkedWorkflowId: target.workflows.user,
    });
    const own = toId<SessionId>(answer.linkedSessions[0]?.session?.sessionId ?? '');
    for (const records of [await imports(target), await outgoing(source)]) {
      expect(records.map((each) => each.grounds)).to.deep.equal([grounds, grounds]);
    }
    const [step] = await provenance(target, own);
    expect(step?.record?.linkedToSession).to.equal(answer.session?.sessionId);
    expect(step?.record?.grounds).to.deep.equal(grounds);
  });

  describe('in a token that was signed elsewhere', () => {
    const signed = async (
      original: SessionId,
      grounds: unknown,
      claims: Readonly<Record<string, unknown>> = {},
    ) => {
      const { privateJwk } = harness.signer;
      const { alg = '', kid = '' } = privateJwk;
      const now = Math.floor(Date.now() / 1_000);
      return new SignJWT({
        session_id: original,
        session_kind: 'user',
        from_application_id: harness.source.applicationId,
        for_application_id: harness.target.applicationId,
        grounds,
        iat: now,
        exp: now + 600,
        ...claims,
      })
        .setProtectedHeader({ alg, kid })
        .sign(await importJWK(privateJwk, alg));
    };

    const use = (shareToken: string, tenant = harness.target) =>
      harness.client.import(tenant.apiKey, { shareToken, workflowId: tenant.workflows.user });

    it('are recorded as they are there', async () => {
      const { db, source, target } = harness;
      const evidence = 'AB'.repeat(32);
      for (const [claim, grounds] of [
        [null, undefined],
        [undefined, undefined],
        [{ kind: 'other', purpose: null }, { kind: GroundsKind.GROUNDS_KIND_OTHER }],
        [
          { kind: 'public_task', reference: 'law:17', obtained_at: 1.5, evidence_sha256: evidence },
          {
            kind: GroundsKind.GROUNDS_KIND_PUBLIC_TASK,
            reference: 'law:17',
            obtainedAt: new Date(1_000),
            evidenceSha256: evidence.toLowerCase(),
          },
        ],
      ] as const) {
        const original = await createSession(db, source, 'user');
        await use(await signed(original, claim));
        const record = (await imports(target)).find((each) => each.sharedFromSession === original);
        expect(record?.grounds).to.deep.equal(grounds && Grounds.fromPartial(grounds));
      }
    });

    it('are refused with what is wrong with them', async () => {
      const { db, source } = harness;
      const original = await createSession(db, source, 'user');
      const kind = 'consent';
      const tomorrow = Math.floor(Date.now() / 1_000) + 86_400;
      for (const [claim, why] of [
        ['consent', 'claim grounds must be an object'],
        [[], 'claim grounds must be an object'],
        [true, 'claim grounds must be an object'],
        [{}, 'claim grounds.kind is missing'],
        [{ kind: null }, 'claim grounds.kind is missing'],
        [
          { kind: 'vital' },
          'claim grounds.kind must be one of consent, contract, legal_obligation',
        ],
        [{ kind: 'CONSENT' }, 'claim grounds.kind must be one of'],
        [{ kind: 1 }, 'claim grounds.kind must be one of'],
        [{ kind, purpose: 'to know Ana' }, 'claim grounds.purpose must consist of 1 to 64 ASCII'],
        [{ kind, purpose: 'x'.repeat(65) }, 'claim grounds.purpose must consist of'],
        [{ kind, purpose: 7 }, 'claim grounds.purpose must consist of'],
        [
          { kind, reference: 'x'.repeat(129) },
          'claim grounds.reference must consist of 1 to 128 ASCII',
        ],
        [{ kind, reference: ['a'] }, 'claim grounds.reference must consist of'],
        [{ kind, obtained_at: '2026-01-01' }, 'claim grounds.obtained_at must be a number'],
        [{ kind, obtained_at: -1 }, 'claim grounds.obtained_at is before 1970'],
        [{ kind, obtained_at: 1e300 }, 'claim grounds.obtained_at is after the year 9999'],
        [{ kind, obtained_at: tomorrow }, 'claim grounds.obtained_at must not be after iat'],
        [{ kind, evidence_sha256: 'abc' }, 'claim grounds.evidence_sha256 must be a SHA-256'],
        [{ kind, note: 'Ana said yes' }, 'claim grounds has a member other than kind, purpose'],
      ] as const) {
        const failure = await failureOf(use(await signed(original, claim)));
        expect(failure).to.include({ code: 'UNAUTHENTICATED', reason: 'SHARE_TOKEN_INVALID' });
        expect(failure.message).to.include(why);
        expect(failure.message).not.to.include('Ana');
      }
      expect(
        await select('SELECT * FROM session_imports WHERE source_session_id = ?', [
          toBinary(original),
        ]),
      ).to.deep.equal([]);
    });

    it('count for nothing if somebody has changed them', async () => {
      const { db, source } = harness;
      const original = await createSession(db, source, 'user');
      const [header, payload = '', signature] = (
        await signed(original, { kind: 'legitimate_interests' })
      ).split('.');
      const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as object;
      for (const changed of [
        { ...claims, grounds: { kind: 'consent' } },
        { ...claims, grounds: undefined },
      ]) {
        const text = Buffer.from(JSON.stringify(changed)).toString('base64url');
        const failure = await failureOf(use([header, text, signature].join('.')));
        expect(failure.message).to.include('its signature does not fit');
      }
    });

    it('are kept with a refusal, if the token was genuine', async () => {
      const { db, source, target } = harness;
      const third = await createTenant(db);
      const past = Math.floor(Date.now() / 1_000) - 600;
      const claim = { kind: 'contract', reference: `c/${newId()}` };
      const grounds = Grounds.fromPartial({
        kind: GroundsKind.GROUNDS_KIND_CONTRACT,
        reference: claim.reference,
      });
      const original = await createSession(db, source, 'user');
      const expired = await signed(original, claim, { iat: past, exp: past + 60 });
      for (const [tenant, token, reason] of [
        [target, expired, 'SHARE_TOKEN_EXPIRED'],
        [third, await signed(original, claim), 'SHARE_TOKEN_NOT_FOR_APPLICATION'],
        [target, await signed(newId(), claim), 'SOURCE_SESSION_NOT_FOUND'],
      ] as const) {
        expect((await failureOf(use(token, tenant))).reason).to.equal(reason);
        const [newest] = await imports(tenant);
        expect(newest).to.deep.include({ reason, grounds });
      }
      await failureOf(use('no token', third));
      expect((await imports(third))[0]).to.deep.include({
        reason: 'SHARE_TOKEN_INVALID',
        grounds: undefined,
      });
    });
  });
});
