import { readFileSync } from 'node:fs';
import path from 'node:path';
import {
  ScalarType,
  type DescField,
  type DescMessage,
  type DescMethod,
  type JsonObject,
} from '@bufbuild/protobuf';
import type { ServiceError as GrpcError } from '@grpc/grpc-js';
import { expect } from 'chai';
import {
  SessionShareService,
  ShareSessionRequest,
} from '../../src/gen/sessionimport/v1/session_share';
import { newId, toBinary, toId, type SessionId } from '../../src/model/ids';
import { privileges, type Privilege } from '../../src/model/privileges';
import { createApiKey, hashApiKey } from '../../src/store/accounts';
import { signShareToken } from '../../src/token/signing';
import { failureOf, sessionOf } from '../support/client';
import { createCompany, requestWithLinked } from '../support/companies';
import { Connections, termsWith } from '../support/connection-calls';
import { numberAll } from '../support/events';
import { createSession, createTenant, type Tenant } from '../support/fixtures';
import { eventually } from '../support/helpers';
import { isId, methodOf, methods, privilegeOf, titleOf, withField } from '../support/methods';
import { scrape, sumOf } from '../support/metrics';
import { checksums } from '../support/rows';
import { startProxiedHarness, type ProxiedHarness } from '../support/service';
import { withdraw } from '../support/withdrawals';

/** What an application has, when it has worked with a partner for a while. */
interface Belongings {
  readonly tenant: Tenant;
  readonly partner: Tenant;
  /** A company's session, which was imported from the partner and shared with it. */
  readonly company: SessionId;
  /** The partner's session that it was imported from. */
  readonly original: SessionId;
  /** The `request_id` of that import. */
  readonly requestId: string;
  readonly shareTokenId: string;
  /** A connection from the application to the partner, that the partner has proposed. */
  readonly connectionId: string;
  /** A person's session, shared as well. */
  readonly person: SessionId;
  /** The partner's copy of it. */
  readonly personsCopy: SessionId;
  /** A copy of a session that the partner has withdrawn. */
  readonly withdrawnCopy: SessionId;
  /** A session that was imported, and deleted since. */
  readonly deleted: SessionId;
}

/** Two applications that have nothing to do with each other. */
interface World {
  readonly harness: ProxiedHarness;
  /** The caller's. */
  readonly mine: Belongings;
  /** Another tenant's. */
  readonly theirs: Belongings;
}

/**
 * A request of the caller for each method: one that is answered, and that says what is needed and
 * nothing more. What can be done once is there anew each time.
 */
const requests: Readonly<Record<string, (world: World) => Promise<JsonObject> | JsonObject>> = {
  'SessionImport/ImportSession': async ({ harness, mine: { tenant, partner } }) => ({
    share_token: await companyToken(harness, partner, tenant),
    workflow_id: tenant.workflows.business,
    request_id: newId(),
    include_linked_sessions: true,
    linked_workflow_id: tenant.workflows.user,
  }),
  'SessionImport/ListWorkflows': () => ({}),
  'SessionShare/ShareSession': ({ mine: { company, partner } }) => ({
    session_id: company,
    for_application_id: partner.applicationId,
  }),
  'SessionShare/RevokeShareToken': async ({ harness, mine: { tenant, partner, company } }) => ({
    share_token_id: await share(harness, tenant, company, partner),
  }),
  'SessionShare/WithdrawSession': async (world) => ({
    session_id: await anotherSession(world),
    reason: 'WITHDRAWAL_REASON_RELIANCE_ENDED',
  }),
  'SessionShare/AcknowledgeWithdrawal': ({ mine: { withdrawnCopy } }) => ({
    session_id: withdrawnCopy,
    outcome: 'WITHDRAWAL_OUTCOME_UNDER_REVIEW',
  }),
  'SessionShare/ListWithdrawals': () => ({ own_side: 'CONNECTION_PARTY_RECIPIENT' }),
  'SessionShare/ListShareTokens': ({ mine: { company } }) => ({ session_id: company }),
  'SessionShare/ListReceivedShareTokens': () => ({}),
  'SessionRead/GetSession': ({ mine: { company } }) => ({ session_id: company }),
  // A relation that the other kind of session does not have: nobody is told which kind another's is.
  'SessionRead/ListSessionRows': ({ mine: { company } }) => ({
    session_id: company,
    relation: 'key_people',
  }),
  'SessionRead/ListSessions': () => ({}),
  'SessionTrace/ListImports': () => ({}),
  'SessionTrace/GetProvenance': ({ mine: { company } }) => ({ session_id: company }),
  'SessionConnection/ProposeConnection': ({ mine: { partner } }) => ({
    other_application_id: partner.applicationId,
    own_side: 'CONNECTION_PARTY_SOURCE',
    // Other terms each time: the same proposal again is answered with the open one.
    terms: { session_kinds: ['SESSION_KIND_USER'], agreement: newId() },
  }),
  'SessionConnection/AcceptConnection': async ({ harness, mine }) => ({
    connection_id: await proposal(harness, mine),
  }),
  'SessionConnection/EndConnection': async ({ harness, mine }) => ({
    connection_id: await proposal(harness, mine),
  }),
  'SessionConnection/GetConnection': ({ mine: { connectionId } }) => ({
    connection_id: connectionId,
  }),
  'SessionConnection/ListConnections': () => ({}),
  'SessionErasure/EraseSession': async (world) => ({ session_id: await anotherSession(world) }),
  'SessionErasure/SetRetention': async (world) => ({
    session_id: await anotherSession(world),
    retention: { hold: { reference: 'case/17' } },
  }),
  'SessionEvents/ListEvents': () => ({}),
  'SessionEvents/WatchEvents': () => ({}),
};

/** A session of the caller that nobody needs afterwards. */
function anotherSession({ harness: { db }, mine: { tenant } }: World): Promise<SessionId> {
  return createSession(db, tenant, 'business');
}

/** What goes into a field that names something. */
interface Named {
  /** One that is the caller's. */
  readonly mine: (world: World) => Promise<string> | string;
  /** Those of others. */
  readonly theirs: (world: World) => Promise<readonly string[]> | readonly string[];
  /** One that nobody has; absent: a fresh id. */
  readonly nobodys?: (world: World) => Promise<string> | string;
  /** How a call ends that names one of these, or one that nobody has. */
  readonly reason: string;
  /** Where the answer names it, if it is said not to be there. */
  readonly told?: { readonly resourceType: string; readonly metadata: string };
}

/** The same for the fields of all requests: an id is called the same wherever it stands. */
const namedBy: Readonly<Record<string, Named | 'anybody may name it'>> = {
  session_id: {
    mine: anotherSession,
    theirs: ({ mine, theirs }) => [
      theirs.company,
      theirs.person,
      theirs.deleted,
      theirs.original,
      // What it came from, and what was made of it, is not the caller's either.
      mine.original,
      mine.personsCopy,
    ],
    reason: 'SESSION_NOT_FOUND',
    told: { resourceType: 'session-import/session', metadata: 'session_id' },
  },
  share_token_id: {
    mine: ({ mine: { shareTokenId } }) => shareTokenId,
    theirs: ({ theirs: { shareTokenId } }) => [shareTokenId],
    reason: 'SHARE_TOKEN_NOT_FOUND',
    told: { resourceType: 'session-import/share-token', metadata: 'share_token_id' },
  },
  workflow_id: {
    mine: ({ mine: { tenant } }) => tenant.workflows.business,
    theirs: ({ mine, theirs }) => [
      theirs.tenant.workflows.business,
      theirs.tenant.workflows.user,
      mine.partner.workflows.business,
    ],
    reason: 'WORKFLOW_NOT_FOUND',
    told: { resourceType: 'session-import/workflow', metadata: 'workflow_id' },
  },
  linked_workflow_id: {
    mine: ({ mine: { tenant } }) => tenant.workflows.user,
    theirs: ({ mine, theirs }) => [
      theirs.tenant.workflows.user,
      theirs.tenant.workflows.business,
      mine.partner.workflows.user,
    ],
    reason: 'WORKFLOW_NOT_FOUND',
    told: { resourceType: 'session-import/workflow', metadata: 'workflow_id' },
  },
  request_id: {
    mine: ({ mine: { requestId } }) => requestId,
    theirs: ({ theirs: { requestId } }) => [requestId],
    reason: 'OK',
  },
  share_token: {
    mine: ({ harness, mine: { tenant, partner } }) => companyToken(harness, partner, tenant),
    theirs: async ({ harness, theirs: { tenant, partner } }) => [
      await companyToken(harness, partner, tenant),
    ],
    nobodys: ({ harness: { signer } }) =>
      signShareToken(signer.privateJwk, {
        sessionId: newId(),
        kind: 'business',
        fromApplicationId: newId(),
        forApplicationId: newId(),
        lifetime: 600,
        includeLinkedSessions: true,
      }),
    reason: 'SHARE_TOKEN_NOT_FOR_APPLICATION',
  },
  shared_from_session: {
    mine: ({ mine: { original } }) => original,
    theirs: ({ theirs: { original, company, person } }) => [original, company, person],
    reason: 'OK',
  },
  shared_from_application: {
    mine: ({ mine: { partner } }) => partner.applicationId,
    theirs: ({ theirs: { partner, tenant } }) => [partner.applicationId, tenant.applicationId],
    reason: 'OK',
  },
  other_application_id: {
    mine: ({ mine: { partner } }) => partner.applicationId,
    theirs: ({ theirs: { partner, tenant } }) => [partner.applicationId, tenant.applicationId],
    reason: 'OK',
  },
  connection_id: {
    mine: ({ mine: { connectionId } }) => connectionId,
    theirs: ({ theirs: { connectionId } }) => [connectionId],
    reason: 'CONNECTION_NOT_FOUND',
    told: { resourceType: 'session-import/connection', metadata: 'connection_id' },
  },
  'AcknowledgeWithdrawal.session_id': {
    mine: ({ mine: { withdrawnCopy } }) => withdrawnCopy,
    theirs: ({ theirs }) => [theirs.withdrawnCopy, theirs.company],
    reason: 'SESSION_NOT_FOUND',
    told: { resourceType: 'session-import/session', metadata: 'session_id' },
  },
  'ListWithdrawals.session_id': {
    mine: ({ mine: { withdrawnCopy } }) => withdrawnCopy,
    theirs: ({ theirs }) => [theirs.withdrawnCopy, theirs.company],
    reason: 'OK',
  },
  // Whether it exists or not, it is answered alike: see test/e2e/connections.test.ts.
  'ProposeConnection.other_application_id': 'anybody may name it',
  // An application can share with every other one, so that one is there is no secret.
  for_application_id: 'anybody may name it',
};

/** Texts of requests that name nothing that an application could have. */
const otherTexts = new Set([
  ...['vendor_data', 'relation', 'relations', 'page_token'],
  ...['purpose', 'reference', 'evidence_sha256', 'agreement'],
]);

/** A text that only what belongs to the other tenant has in it. */
const markOfTheirs = 'known to the other tenant alone';

const here = 'test/e2e/every-method.test.ts';

describe('every method', () => {
  let harness: ProxiedHarness;
  let world: World;
  before(async () => {
    harness = await startProxiedHarness();
    const { db, source, target } = harness;
    world = {
      harness,
      mine: await belongingsOf(harness, target, source, 'known to the caller'),
      theirs: await belongingsOf(
        harness,
        await createTenant(db),
        await createTenant(db),
        markOfTheirs,
      ),
    };
    await numberAll();
  });
  after(() => harness.stop());

  it('that is named here is in the contract, and so is every field', () => {
    const fields = new Set(
      methods.flatMap((method) =>
        fieldsOf(method.input).flatMap(({ name }) => [name, `${method.name}.${name}`]),
      ),
    );
    expect(methods.map(titleOf)).to.include.members(Object.keys(requests));
    expect([...fields]).to.include.members([...Object.keys(namedBy), ...otherTexts]);
  });

  it('needs the same privilege by the contract and by the docs', () => {
    const page = path.join(__dirname, '..', '..', 'docs', 'commands.md');
    const documented = [
      ...readFileSync(page, 'utf8').matchAll(/^\| `([a-z-]+:[a-z-]+)` \| ((?:(?:, )?`\w+`)+)/gm),
    ];
    const inDocs = documented.flatMap(([, privilege = '', names = '']) =>
      [...names.matchAll(/\w+/g)].map(([name]) => `${name} ${privilege}`),
    );
    const inContract = methods.map((method) => `${method.name} ${privilegeOf(method) ?? ''}`);
    expect(inDocs.sort()).to.deep.equal(inContract.sort());
  });

  for (const method of methods) {
    const title = titleOf(method);
    describe(title, () => {
      const request = requests[title];
      const privilege = privileges.find((known) => known === privilegeOf(method));
      const lacking = whatIsLacking(method);
      if (!request || !privilege || lacking.length > 0) {
        it('is known well enough to be tested', () => {
          throw new Error(`${title} is new, or has changed:\n${lacking.join('\n')}`);
        });
        return;
      }
      const call = (caller: string | null, asked: JsonObject, options = {}) =>
        harness.client.call(methodOf(method), caller, asked, options);

      it('knows nobody without an API key, or by one that there is not', async () => {
        for (const asked of [await request(world), {}]) {
          const keyless = await failureOf(call(null, asked));
          expect(keyless).to.include({ code: 'UNAUTHENTICATED', reason: 'API_KEY_INVALID' });
          expect(await failureOf(call('sik_unknown', asked))).to.deep.equal(keyless);
        }
      });

      it(`needs the privilege ${privilege}, and no other`, async () => {
        const asked = await request(world);
        const others = await keyWith(privileges.filter((each) => each !== privilege));
        for (const each of [asked, {}]) {
          expect(await failureOf(call(others, each))).to.deep.include({
            code: 'PERMISSION_DENIED',
            reason: 'PRIVILEGE_MISSING',
            metadata: { privilege },
          });
        }
        const { reason, seen } = await answerTo(call(await keyWith([privilege]), asked));
        expect(reason).to.equal('OK');
        expect(theirsIn(seen)).to.deep.equal([]);
      });

      /** Deletes what refused previews leave: their record, and that is the caller's own. */
      const forgetPreviews = (): Promise<number> =>
        harness
          .db('import_refusals')
          .where({ application_id: toBinary(world.mine.tenant.applicationId), preview: true })
          .delete();

      for (const field of method.input.fields) {
        const named = whatNames(method, field);
        if (!named || named === 'anybody may name it') continue;
        it(`answers for another’s ${field.name} as for one that nobody has`, async () => {
          const { apiKey } = world.mine.tenant;
          // Where that can be said, so that the same can be asked again.
          const asked = method.input.fields.some(({ name }) => name === 'validate_only')
            ? { ...(await request(world)), validate_only: true }
            : await request(world);
          const answer = (value: string) =>
            answerTo(call(apiKey, withField(asked, field, value)), value);

          const missing = (await named.nobodys?.(world)) ?? newId();
          const foreign = await named.theirs(world);

          await forgetPreviews();
          const before = await checksums();
          const nobodys = await answer(missing);
          expect(nobodys.reason).to.equal(named.reason);
          expect(nobodys.told).to.deep.equal(
            named.told && {
              resource: [named.told.resourceType, 'the value'],
              metadata: { [named.told.metadata]: 'the value' },
            },
          );
          for (const value of foreign) {
            const others = await answer(value);
            expect(others).to.deep.equal(nobodys);
            expect(theirsIn(others.seen)).to.deep.equal([]);
          }
          await forgetPreviews();
          expect(await checksums()).to.deep.equal(before);
          // And it does make a difference what is named there.
          expect(await answer(await named.mine(world))).not.to.deep.equal(nobodys);
        });
      }

      for (const field of method.input.fields.filter(isId)) {
        it(`names ${field.name} when that is malformed`, async () => {
          const asked = await request(world);
          for (const value of ['', 'mine', `${newId()}0`, `{${newId()}}`]) {
            const wrong = withField(asked, field, value);
            const failure = await failureOf(call(world.mine.tenant.apiKey, wrong));
            expect(failure).to.include({ code: 'INVALID_ARGUMENT', reason: 'INVALID_REQUEST' });
            const violations = failure.badRequest?.fieldViolations ?? [];
            expect(violations.map((each) => each.field)).to.deep.equal([field.name]);
            expect(violations[0]?.description).to.match(
              value === '' ? /^is required$|^must be a UUID/ : /^must be a UUID/,
            );
          }
        });
      }

      it('does nothing when its caller cancels it before its work starts', async () => {
        const { client, proxy, logLines, server } = harness;
        const asked = await request(world);
        const apiKey = await keyWith([privilege]);
        const hash = hashApiKey(apiKey).toString('hex');
        const cancelled = async (): Promise<number> =>
          sumOf(await scrape(server.metricsPort), 'grpc_server_handled_total', {
            grpc_service: method.parent.typeName,
            grpc_method: method.name,
            grpc_code: 'Canceled',
          });
        const before = { data: await checksums(), cancelled: await cancelled() };
        const abort = new AbortController();
        let letGo = (): void => undefined;
        const released = new Promise<void>((resolve) => (letGo = resolve));
        let hold = (): void => undefined;
        const held = new Promise<void>((resolve) => (hold = resolve));
        const statements: string[] = [];
        proxy.intercept = async ({ sql }) => {
          if (sql.includes(hash)) {
            hold();
            await released;
          } else if (!housekeeping.test(sql)) {
            statements.push(sql.replaceAll(/\s+/g, ' ').slice(0, 80));
          }
        };
        let line: Record<string, unknown> | undefined;
        try {
          const answer = failureOf(call(apiKey, asked, { signal: abort.signal }));
          await held;
          const already = logLines.length;
          abort.abort();
          expect((await answer).code).to.equal('CANCELLED');
          await eventually(async () => (await cancelled()) > before.cancelled);
          letGo();
          await harness.logged(() => {
            line = logLines
              .slice(already)
              .map((each) => JSON.parse(each) as Record<string, unknown>)
              .find(({ msg, method: name }) => msg === 'call' && name === method.name);
            return line !== undefined;
          });
          // If the call went on after all, these would come to MySQL behind it.
          for (let round = 0; round < 3; round++) {
            await failureOf(client.call(methodOf(method), `sik_unknown ${newId()}`, asked));
          }
        } finally {
          letGo();
          proxy.intercept = undefined;
        }
        expect({ code: line?.['code'], statements }).to.deep.equal({
          code: 'CANCELLED',
          statements: [],
        });
        expect(await checksums()).to.deep.equal(before.data);
      });
    });
  }

  async function keyWith(some: readonly Privilege[]): Promise<string> {
    const { applicationId } = world.mine.tenant;
    const key = { applicationId, name: 'some', privileges: some, expiresAt: null };
    return (await createApiKey(harness.db, key)).apiKey;
  }

  /** What of the other tenant is in a text. */
  function theirsIn(seen: string): string[] {
    const { tenant, partner, ...ids } = world.theirs;
    return [
      ...[tenant, partner].flatMap((each) => [
        each.applicationId,
        each.apiKey,
        ...Object.values(each.workflows),
      ]),
      ...Object.values(ids),
      markOfTheirs,
    ].filter((secret) => seen.includes(secret));
  }
});

/**
 * What the service asks MySQL for by itself, and the look-ups of other API keys, with the proof that the server
 * takes writes. A transaction that does something has statements of its own.
 */
const housekeeping =
  /^SET SESSION |SELECT @@|FROM api_keys|FROM session_counters c WHERE FALSE|^(BEGIN|COMMIT);?$/;

/** What a method must have, here or in the contract, before it can be tested. */
function whatIsLacking(method: DescMethod): string[] {
  const title = titleOf(method);
  const privilege = privilegeOf(method);
  const lacking: string[] = [];
  if (!['unary', 'server_streaming'].includes(method.methodKind)) {
    lacking.push(`- It takes a stream of requests: teach ${here} to call it.`);
  }
  if (!requests[title]) {
    lacking.push(`- Add a request for '${title}' to \`requests\` in ${here}.`);
  }
  if (privilege === undefined) {
    const file = `proto/${method.parent.file.name}.proto`;
    lacking.push(`- Say in its comment in ${file} what it needs, as in "Privilege: \`…\`."`);
  } else if (!privileges.some((known) => known === privilege)) {
    lacking.push(`- There is no privilege ${privilege}.`);
  }
  for (const field of fieldsOf(method.input)) {
    if (!isUnderstood(field)) {
      lacking.push(`- Teach ${here} what can go into a field like ${field.name}.`);
    } else if (
      isText(field) &&
      !whatNames(method, field) &&
      (isId(field) || !otherTexts.has(field.name))
    ) {
      lacking.push(
        `- Add ${field.name} to \`namedBy\` in ${here}, with what of another tenant can go there${isId(field) ? '' : '; or to `otherTexts`, if nothing can'}.`,
      );
    }
  }
  return lacking;
}

/** What goes into a field of a method, if it names something. */
function whatNames({ name }: DescMethod, field: DescField): (typeof namedBy)[string] | undefined {
  return namedBy[`${name}.${field.name}`] ?? namedBy[field.name];
}

function isText(field: DescField): boolean {
  return field.fieldKind === 'scalar' && field.scalar === ScalarType.STRING;
}

/** The fields of a request, and those of messages of the contract in them, which must not name anything. */
function fieldsOf({ fields }: DescMessage): DescField[] {
  return fields.flatMap((field) => {
    const inner = field.fieldKind === 'message' && !isUnderstood(field) ? field.message : undefined;
    return inner && !inner.fields.some(isId) ? fieldsOf(inner) : [field];
  });
}

/** Whether the tests above look into a field, or need not: it holds a number, a choice or a time. */
function isUnderstood(field: DescField): boolean {
  switch (field.fieldKind) {
    case 'scalar':
      return field.scalar !== ScalarType.BYTES;
    case 'enum':
      return true;
    case 'list':
      return (
        field.listKind === 'enum' || (field.listKind === 'scalar' && otherTexts.has(field.name))
      );
    case 'message':
      return field.message.typeName.startsWith('google.protobuf.');
    case 'map':
      return false;
  }
}

/** What there is to see of a call's end, as one who compares two of them sees it. */
interface Answer {
  /** `OK`, or why it failed. */
  readonly reason: string | undefined;
  /** What a failure says is not there. */
  readonly told: object | undefined;
  /** All of it, also the keys of a failure's trailer. */
  readonly seen: string;
}

/** Waits for the end of a call. @param value what was asked for: it is no news to the caller. */
async function answerTo(call: Promise<unknown>, value = 'the value'): Promise<Answer> {
  const text = (all: unknown): string => JSON.stringify(all).replaceAll(value, 'the value');
  try {
    return { reason: 'OK', told: undefined, seen: text(await call) };
  } catch (error) {
    const failed = error as GrpcError;
    const failure = await failureOf(Promise.reject(failed));
    const { resource, metadata } = failure;
    const told = resource && { resource: [resource.resourceType, resource.resourceName], metadata };
    return {
      reason: failure.reason ?? failure.code,
      told: told && (JSON.parse(text(told)) as object),
      seen: text({ ...failure, trailer: Object.keys(failed.metadata.getMap()).sort() }),
    };
  }
}

/** A share token for a company of one application with a key person, for another one. */
async function companyToken(
  { db, signer }: ProxiedHarness,
  source: Tenant,
  target: Tenant,
): Promise<string> {
  const company = await createCompany(db, source, [await createSession(db, source, 'user')]);
  const { shareToken } = await requestWithLinked({ signer, source, target }, company);
  return shareToken ?? '';
}

/** Shares a session by ShareSession, and returns the token's id. */
async function share(
  { client }: ProxiedHarness,
  by: Tenant,
  sessionId: SessionId,
  { applicationId: forApplicationId }: Tenant,
): Promise<string> {
  const request = ShareSessionRequest.fromPartial({ sessionId, forApplicationId });
  const { details } = await client.call(SessionShareService.shareSession, by.apiKey, request);
  return details?.shareTokenId ?? '';
}

/** Lets the partner propose a connection, with terms of its own. */
async function proposal(
  { client }: ProxiedHarness,
  { tenant, partner }: Pick<Belongings, 'tenant' | 'partner'>,
): Promise<string> {
  const terms = termsWith({ agreement: newId() });
  const made = await new Connections(client).propose(partner, 'recipient', tenant, terms);
  return made.connectionId;
}

/** Lets an application work with a partner. @param mark what its person is called. */
async function belongingsOf(
  harness: ProxiedHarness,
  tenant: Tenant,
  partner: Tenant,
  mark: string,
): Promise<Belongings> {
  const { db, signer, client } = harness;
  const importing = async (from: Tenant, to: Tenant, original: SessionId): Promise<SessionId> => {
    const shareToken = await signer.share(from, to, 'user', original);
    const request = { shareToken, workflowId: to.workflows.user };
    return toId(sessionOf(await client.import(to.apiKey, request)).sessionId);
  };

  const original = await createCompany(db, partner, [await createSession(db, partner, 'user')]);
  const requestId = newId();
  const request = await requestWithLinked({ signer, source: partner, target: tenant }, original);
  const imported = await client.import(tenant.apiKey, { ...request, vendorData: mark, requestId });
  // So that there is a refusal on record, too.
  await failureOf(client.import(tenant.apiKey, request));
  const company = toId<SessionId>(sessionOf(imported).sessionId);
  const person = await createSession(db, tenant, 'user', { vendor_data: Buffer.from(mark) });
  await share(harness, tenant, person, partner);
  await share(harness, partner, await createSession(db, partner, 'user'), tenant);
  const deleted = await importing(partner, tenant, await createSession(db, partner, 'user'));
  await share(harness, tenant, deleted, partner);
  await db('user_sessions')
    .where({ id: toBinary(deleted) })
    .delete();
  const toWithdraw = await createSession(db, partner, 'user');
  const withdrawnCopy = await importing(partner, tenant, toWithdraw);
  await withdraw(harness, partner, toWithdraw);
  return {
    tenant,
    partner,
    company,
    original,
    requestId,
    shareTokenId: await share(harness, tenant, company, partner),
    connectionId: await proposal(harness, { tenant, partner }),
    person,
    personsCopy: await importing(tenant, partner, person),
    withdrawnCopy,
    deleted,
  };
}
