import { expect } from 'chai';
import { decodeJwt, decodeProtectedHeader, importJWK, SignJWT } from 'jose';
import { AcceptanceRules } from '../../src/gen/sessionimport/v1/session_import';
import { GetSessionRequest, SessionReadService } from '../../src/gen/sessionimport/v1/session_read';
import {
  ListReceivedShareTokensRequest,
  ListShareTokensRequest,
  SessionShareService,
  ShareSessionRequest,
} from '../../src/gen/sessionimport/v1/session_share';
import {
  GetProvenanceRequest,
  ImportDirection,
  ListImportsRequest,
  SessionTraceService,
} from '../../src/gen/sessionimport/v1/session_trace';
import { newId, toBinary, type SessionId } from '../../src/model/ids';
import { sessionKinds, type SessionKind } from '../../src/model/session';
import { failureOf, rowsOf, sessionOf } from '../support/client';
import { createCompany } from '../support/companies';
import { addDocuments, addRows } from '../support/documents';
import { addLogs, createSession, createTenant, type Tenant } from '../support/fixtures';
import { select } from '../support/rows';
import { namesOf, requestFor } from '../support/scopes';
import { startHarness, type Harness } from '../support/service';

const { shareSession, listShareTokens, listReceivedShareTokens } = SessionShareService;
const { listImports, getProvenance } = SessionTraceService;

describe('the choice of relations', () => {
  let harness: Harness;
  before(async () => {
    harness = await startHarness();
  });
  after(() => harness.stop());

  const share = (
    from: Tenant,
    to: Tenant,
    sessionId: SessionId,
    relations: readonly string[],
    includeLinkedSessions = false,
  ) =>
    harness.client.call(
      shareSession,
      from.apiKey,
      ShareSessionRequest.fromPartial({
        ...{ sessionId, includeLinkedSessions, relations: [...relations] },
        forApplicationId: to.applicationId,
      }),
    );

  for (const kind of sessionKinds) {
    it(`for a ${kind} session is shown to both sides, and to nobody else`, async () => {
      const { db, client } = harness;
      const [source, target, third] = await tenants(3);
      const original = await createSession(db, source, kind);
      const { shareToken, details } = await share(source, target, original, [
        'reviews',
        'aml_screenings',
        'reviews',
      ]);
      const chosen = ['aml_screenings', 'reviews'];
      const withheld = namesOf(kind).filter((name) => !chosen.includes(name));
      expect(details?.relations).to.deep.equal(chosen);
      expect(decodeJwt(shareToken)['relations']).to.deep.equal(chosen);
      const listed = await client.call(
        listShareTokens,
        source.apiKey,
        ListShareTokensRequest.fromPartial({ sessionId: original }),
      );
      expect(listed.shareTokens.map((each) => each.relations)).to.deep.equal([chosen]);
      const received = await client.call(
        listReceivedShareTokens,
        target.apiKey,
        ListReceivedShareTokensRequest.fromPartial({}),
      );
      expect(received.shareTokens.map((each) => each.relations)).to.deep.equal([chosen]);

      // A refusal first: the workflow does not exist.
      await failureOf(client.import(target.apiKey, { shareToken, workflowId: newId() }));
      const request = { shareToken, workflowId: target.workflows[kind] };
      const { sessionId } = sessionOf(await client.import(target.apiKey, request));
      const incoming = await imports(target);
      expect(incoming.map((each) => each.withheldRelations)).to.deep.equal([withheld, withheld]);
      const outgoing = await imports(source, ImportDirection.IMPORT_DIRECTION_OUTGOING);
      expect(outgoing.map((each) => each.withheldRelations)).to.deep.equal([withheld]);
      const { steps } = await client.call(
        getProvenance,
        target.apiKey,
        GetProvenanceRequest.fromPartial({ sessionId }),
      );
      expect(steps.map(({ record }) => record?.withheldRelations)).to.deep.equal([withheld]);
      const shown = await client.call(
        SessionReadService.getSession,
        target.apiKey,
        GetSessionRequest.fromPartial({ sessionId }),
      );
      expect(shown.session?.withheldRelations).to.deep.equal(withheld);
      expect(await imports(third)).to.deep.equal([]);
    });

    it(`is not made for a ${kind} session if nothing is named: nothing is withheld`, async () => {
      const { db, client } = harness;
      const [source, target] = await tenants(2);
      const original = await createSession(db, source, kind);
      const { shareToken, details } = await share(source, target, original, []);
      expect(details?.relations).to.deep.equal([]);
      expect(decodeJwt(shareToken)).not.to.have.property('relations');
      expect(decodeProtectedHeader(shareToken)).not.to.have.property('crit');
      const request = { shareToken, workflowId: target.workflows[kind] };
      const answer = await client.import(target.apiKey, request);
      expect(answer.withheldRelations).to.deep.equal([]);
      expect((await imports(target)).map((each) => each.withheldRelations)).to.deep.equal([[]]);
      // As a service from before the column left it.
      const [row] = await select(
        `SELECT s.shared_relations AS own, i.shared_relations AS entered, t.shared_relations AS token
         FROM ${kind}_sessions s JOIN session_imports i ON i.session_id = s.id
           JOIN share_tokens t ON t.session_id = i.source_session_id
         WHERE s.id = ?`,
        [toBinary(sessionOf(answer).sessionId as SessionId)],
      );
      expect(row).to.deep.equal({ own: null, entered: null, token: null });
    });
  }

  it('names only relations of the sessions that are shared, each with its parent', async () => {
    const { db, source, target } = harness;
    const ids = {
      user: await createSession(db, source, 'user'),
      business: await createCompany(db, source, []),
    };
    const rule = 'must be the name of a relation';
    for (const [kind, linked, names, field, description] of [
      ['user', false, ['faces', 'no_such'], 'relations[1]', rule],
      ['user', false, [''], 'relations[0]', rule],
      ['user', false, ['Faces'], 'relations[0]', rule],
      ['user', false, ['documents'], 'relations[0]', 'must be a relation of user sessions'],
      // No effect for a user session.
      ['user', true, ['documents'], 'relations[0]', 'must be a relation of user sessions'],
      ['business', false, ['faces'], 'relations[0]', 'must be a relation of business sessions'],
      ['user', false, ['faces', 'aml_hits'], 'relations[1]', 'without aml_screenings'],
      ['business', false, ['aml_hits'], 'relations[0]', 'without aml_screenings'],
      ['business', false, ['key_people'], 'relations[0]', 'without key_people_checks'],
      ['business', true, ['faces'], 'relations', 'must have key_people'],
      ['user', false, Array(101).fill('faces'), 'relations', 'must have at most 100 items'],
    ] as const) {
      const failure = await failureOf(share(source, target, ids[kind], names, linked));
      expect(failure.reason, names.join()).to.equal('INVALID_REQUEST');
      const [violation, ...others] = failure.badRequest?.fieldViolations ?? [];
      expect(others).to.deep.equal([]);
      expect(violation?.field, names.join()).to.equal(field);
      expect(violation?.description).to.include(description);
    }
    expect(await share(source, target, ids.business, peopleAndFaces, true)).to.have.property(
      'shareToken',
    );
  });

  describe('in a token that was signed elsewhere', () => {
    const signed = async (
      original: SessionId,
      relations: unknown,
      claims: Readonly<Record<string, unknown>> = {},
      header: Readonly<Record<string, unknown>> = {},
    ) => {
      const { privateJwk } = harness.signer;
      const { alg = '', kid = '' } = privateJwk;
      const now = Math.floor(Date.now() / 1_000);
      return new SignJWT({
        session_id: original,
        session_kind: 'user',
        from_application_id: harness.source.applicationId,
        for_application_id: harness.target.applicationId,
        ...{ relations, iat: now, exp: now + 600 },
        ...claims,
      })
        .setProtectedHeader({ alg, kid, ...header })
        .sign(await importJWK(privateJwk, alg), { crit: { relations: true, other: true } });
    };

    const use = (shareToken: string, kind: SessionKind = 'user') =>
      harness.client.import(harness.target.apiKey, {
        shareToken,
        workflowId: harness.target.workflows[kind],
      });

    it('holds in the same way, with the header for older services or without', async () => {
      const { db, source } = harness;
      for (const header of [{}, marked]) {
        for (const [claim, withheld] of [
          ...(header === marked
            ? []
            : ([
                [null, []],
                [undefined, []],
              ] as const)),
          [['faces', 'faces'], namesOf('user').filter((name) => name !== 'faces')],
        ] as const) {
          const original = await createSession(db, source, 'user');
          const answer = await use(await signed(original, claim, {}, header));
          expect(answer.withheldRelations).to.deep.equal(withheld);
        }
      }
    });

    it('is refused with what is wrong with it', async () => {
      const { db, source } = harness;
      const original = await createSession(db, source, 'user');
      const business = { session_kind: 'business' };
      for (const [claim, why, claims] of [
        ['faces', 'claim relations must be a list of names'],
        [{}, 'claim relations must be a list of names'],
        [[1], 'claim relations must be a list of names'],
        [[null], 'claim relations must be a list of names'],
        [[], 'claim relations is empty'],
        [Array(101).fill('faces'), 'claim relations has more than 100 names'],
        [['faces', 'Ana'], 'claim relations[1] must be a relation of user sessions'],
        [['documents'], 'claim relations[0] must be a relation of user sessions'],
        [['aml_hits'], 'claim relations[0] must not be there without aml_screenings'],
        [['faces'], 'claim relations[0] must be a relation of business sessions', business],
        [['logs'], 'claim relations must have key_people', { ...business, linked_sessions: true }],
      ] as const) {
        const failure = await failureOf(use(await signed(original, claim, claims)));
        expect(failure.reason, why).to.equal('SHARE_TOKEN_INVALID');
        expect(failure.message).to.include(why).and.not.include('Ana');
      }
    });

    it('is refused if it says that something else must be understood', async () => {
      const { db, source } = harness;
      const original = await createSession(db, source, 'user');
      const header = { crit: ['other'], other: true };
      const failure = await failureOf(use(await signed(original, ['faces'], {}, header)));
      expect(failure.reason).to.equal('SHARE_TOKEN_INVALID');
      expect(failure.message).to.include('in crit');
    });

    it('is refused if the header says that there is a choice, and there is none', async () => {
      const { db, source } = harness;
      const original = await createSession(db, source, 'user');
      const failure = await failureOf(use(await signed(original, undefined, {}, marked)));
      expect(failure.reason).to.equal('SHARE_TOKEN_INVALID');
      expect(failure.message).to.include('the claim relations is missing');
    });
  });

  it('is marked in the token, so that a service that does not know it refuses it', async () => {
    const { db, source, target } = harness;
    const original = await createSession(db, source, 'user');
    const { shareToken } = await share(source, target, original, ['faces']);
    expect(decodeProtectedHeader(shareToken)).to.deep.include({
      crit: ['relations'],
      relations: true,
    });
  });

  describe('and rules for acceptance', () => {
    const withRules = async (
      kind: SessionKind,
      id: SessionId,
      names: readonly string[],
      rules: Partial<AcceptanceRules>,
      linked = false,
    ) => {
      const { source, client } = harness;
      const target = await createTenant(harness.db);
      const request = await requestFor(harness, source, target, kind, id, names, linked);
      const acceptance = AcceptanceRules.fromPartial(rules);
      return client.import(target.apiKey, { ...request, acceptance });
    };

    it('are not met by a relation that is withheld, and say so', async () => {
      const { db, source } = harness;
      for (const kind of sessionKinds) {
        const original = await createSession(db, source, kind);
        await addLogs(db, kind, original, 1);
        const relations = ['logs', 'reviews'];
        const failure = await failureOf(withRules(kind, original, ['reviews'], { relations }));
        expect(failure.reason).to.equal('ACCEPTANCE_NOT_MET');
        expect(failure.precondition?.violations.map((each) => each.description)).to.deep.equal([
          'Found: withheld by the application that shares. Wanted: at least one row.',
          'Found: none. Wanted: at least one row.',
        ]);
        const answer = await withRules(kind, original, ['logs'], { relations: ['logs'] });
        expect(rowsOf(answer)).to.deep.equal({ logs: 1 });
      }
    });

    it('are not met by details that are withheld, and say so', async () => {
      const { db, source } = harness;
      for (const kind of sessionKinds) {
        const original = await createSession(db, source, kind);
        const relations = ['contact_details', 'expected_details'];
        const failure = await failureOf(
          withRules(kind, original, ['expected_details'], { relations }),
        );
        expect(failure.precondition?.violations.map((each) => each.description)).to.deep.equal([
          'Found: withheld by the application that shares. Wanted: details that are not empty.',
        ]);
        await withRules(kind, original, ['logs', ...relations], { relations });
      }
    });

    it('judge only documents that the copy would have', async () => {
      const { db, source } = harness;
      for (const [kind, relation] of [
        ['user', 'id_verifications'],
        ['business', 'documents'],
      ] as const) {
        const original = await createSession(db, source, kind);
        await addDocuments(db, kind, relation, original, ['2001-01-01']);
        const rules = { documentsUnexpired: true };
        const failure = await failureOf(withRules(kind, original, [relation], rules));
        expect(failure.reason).to.equal('ACCEPTANCE_NOT_MET');
        const answer = await withRules(kind, original, ['logs'], rules);
        expect(answer.withheldRelations).to.include(relation);
      }
    });

    it('hold for linked sessions as far as these are shared', async () => {
      const { db, source } = harness;
      const person = await createSession(db, source, 'user');
      await addDocuments(db, 'user', 'id_verifications', person, ['2001-01-01']);
      await addRows(db, 'user', 'faces', person, [{ ordinal: 0 }]);
      const company = await createCompany(db, source, [person]);
      const rules = { documentsUnexpired: true, relations: ['faces'] };
      const answer = await withRules('business', company, peopleAndFaces, rules, true);
      expect(answer.linkedSessions).to.have.length(1);
      const more = [...peopleAndFaces, 'id_verifications'];
      const failure = await failureOf(withRules('business', company, more, rules, true));
      expect(failure.reason).to.equal('ACCEPTANCE_NOT_MET');
      const less = ['key_people_checks', 'key_people'];
      const other = await failureOf(withRules('business', company, less, rules, true));
      expect(other.precondition?.violations[0]?.description).to.include(
        'withheld by the application that shares',
      );
    });
  });

  const tenants = async (count: number): Promise<[Tenant, Tenant, Tenant]> =>
    (await Promise.all(Array.from({ length: count }, () => createTenant(harness.db)))) as [
      Tenant,
      Tenant,
      Tenant,
    ];

  const imports = async (tenant: Tenant, direction = ImportDirection.IMPORT_DIRECTION_INCOMING) => {
    const request = ListImportsRequest.fromPartial({ direction });
    return (await harness.client.call(listImports, tenant.apiKey, request)).imports;
  };
});

/** The header of tokens that do not share everything. */
const marked = { crit: ['relations'], relations: true };

/** Relations of a company and of its people. */
const peopleAndFaces = ['key_people_checks', 'key_people', 'faces'];
