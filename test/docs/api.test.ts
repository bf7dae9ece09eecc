import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fromBinary, toJson, type JsonObject, type JsonValue } from '@bufbuild/protobuf';
import { expect } from 'chai';
import { parse } from 'yaml';
import { seedDemo } from '../../src/demo';
import { newId } from '../../src/model/ids';
import { must } from '../../src/model/must';
import { AcceptanceRules } from '../../src/gen/sessionimport/v1/session_import';
import { SessionShareService } from '../../src/gen/sessionimport/v1/session_share';
import { signShareToken } from '../../src/token/signing';
import { failureOf } from '../support/client';
import { askedOfGrpcurl } from '../support/grpcurl';
import { eventually } from '../support/helpers';
import { methodOf, methods, titleOf } from '../support/methods';
import { startHarness, type Harness } from '../support/service';
import { withdrawalsOf } from '../support/withdrawals';

const page = readFileSync(path.join(__dirname, '..', '..', 'docs', 'api.md'), 'utf8');

/** An example of the page: a script, what it calls, and what is said to come back. */
interface Example {
  readonly script: string;
  readonly method: string;
  readonly answer: unknown;
}

const examples: readonly Example[] = [
  ...page.matchAll(/```sh\n(.*?)```\n\n```json\n(.*?)```/gs),
].map(([, script = '', answer = '']) => ({
  script,
  method: /sessionimport\.v1\.(\w+\/\w+)/.exec(script)?.[1] ?? '',
  answer: parse(answer.replaceAll('…', '')) as unknown,
}));

describe('docs/api.md', () => {
  let harness: Harness;
  let variables: Record<string, string>;
  before(async () => {
    harness = await startHarness();
    variables = await variablesOf(harness);
  });
  after(async () => {
    await harness.stop();
  });

  /** What the service answers to a script, as grpcurl would print it: of a stream, the first message. */
  async function answerTo(script: string): Promise<JsonValue> {
    const { header, address, method, data } = await askedOfGrpcurl(script, variables);
    const [headerName, apiKey = ''] = header.split(': ');
    expect(headerName).to.equal('x-api-key');
    expect(address).to.equal(variables['ADDRESS']);
    const called = must(
      methods.find(({ parent, name }) => `${parent.typeName}/${name}` === method),
      `the method ${method}`,
    );
    // grpcurl writes the names of JSON, and not those of the proto file.
    const responseDeserialize = (bytes: Buffer): JsonValue =>
      toJson(called.output, fromBinary(called.output, bytes));
    const request = JSON.parse(data) as JsonObject;
    return harness.client.call({ ...methodOf(called), responseDeserialize }, apiKey, request);
  }

  /** Waits until the importing application was told of the correction that the examples make. */
  function correctionTold(): Promise<void> {
    const importing = { apiKey: must(variables['API_KEY'], 'an API key') };
    return eventually(async () => {
      const [copy] = await withdrawalsOf(harness, importing, 'recipient');
      return copy?.toldAt !== undefined;
    });
  }

  it('has an example of every method', () => {
    expect(new Set(examples.map(({ method }) => method))).to.deep.equal(
      new Set(methods.map(titleOf)),
    );
  });

  for (const { script, method, answer } of examples) {
    it(`shows what ${method} answers`, async () => {
      const used = [...script.matchAll(/\$(\w+)/g)].map(([, name]) => name);
      expect(variables).to.include.all.keys(used);
      if (method === 'SessionShare/AcknowledgeWithdrawal') await correctionTold();
      const answered = await answerTo(script);
      expectLike(answered, answer, 'the answer');
      // Of several examples of a method, the first is gone on with.
      variables = { ...learn[method]?.(answered as never), ...variables };
    });
  }

  it('shows the answer if rules are not met', async () => {
    const { client, db, signer } = harness;
    const [, shown = ''] = /```json\n(\{\n {2}"violations".*?)```/s.exec(page) ?? [];
    const { source, importing } = await seedDemo(db);
    const { precondition } = await failureOf(
      client.import(importing.apiKey, {
        shareToken: await signShareToken(signer.privateJwk, {
          sessionId: source.businessSessionId,
          kind: 'business',
          fromApplicationId: source.applicationId,
          forApplicationId: importing.applicationId,
          lifetime: 600,
        }),
        workflowId: importing.businessWorkflowId,
        validateOnly: true,
        acceptance: AcceptanceRules.fromPartial({
          maxAge: { seconds: 86_400, nanos: 0 },
          relations: ['registry_checks', 'key_people', 'faces'],
        }),
      }),
    );
    expectLike({ ...precondition }, JSON.parse(shown), 'the violations');
  });
});

/** What the examples take from those who try them, from the demo's data. */
async function variablesOf({
  db,
  server,
  client,
  signer,
}: Harness): Promise<Record<string, string>> {
  const { source, importing } = await seedDemo(db);
  const share = (sessionId: string, includeLinkedSessions: boolean) =>
    client.call(SessionShareService.shareSession, source.apiKey, {
      sessionId,
      forApplicationId: importing.applicationId,
      ttl: undefined,
      grounds: undefined,
      relations: [],
      includeLinkedSessions,
    });
  // So that there is a refused attempt to list.
  await failureOf(
    client.import(importing.apiKey, {
      shareToken: await signShareToken(signer.privateJwk, {
        sessionId: source.userSessionId,
        kind: 'user',
        fromApplicationId: source.applicationId,
        forApplicationId: newId(),
        lifetime: 600,
      }),
      workflowId: importing.userWorkflowId,
    }),
  );
  const chosen = await signShareToken(signer.privateJwk, {
    sessionId: source.businessSessionId,
    kind: 'business',
    fromApplicationId: source.applicationId,
    forApplicationId: importing.applicationId,
    lifetime: 600,
    scope: ['contact_details', 'documents', 'registry_checks'],
  });
  const other = await share(source.businessSessionId, false);
  const business = await share(source.businessSessionId, true);
  return {
    ADDRESS: `127.0.0.1:${server.port}`,
    SOURCE_API_KEY: source.apiKey,
    SOURCE_SESSION_ID: source.userSessionId,
    SOURCE_BUSINESS_SESSION_ID: source.businessSessionId,
    CHOSEN_SHARE_TOKEN: chosen,
    APPLICATION_ID: importing.applicationId,
    OTHER_SHARE_TOKEN_ID: other.details?.shareTokenId ?? '',
    API_KEY: importing.apiKey,
    BUSINESS_SHARE_TOKEN: business.shareToken,
    WORKFLOW_ID: importing.userWorkflowId,
    BUSINESS_WORKFLOW_ID: importing.businessWorkflowId,
    REQUEST_ID: newId(),
  };
}

/** What later examples take from the answers of earlier ones. */
const learn: Readonly<Record<string, (answer: never) => Record<string, string>>> = {
  'SessionShare/ShareSession': ({ shareToken }: { shareToken: string }) => ({
    SHARE_TOKEN: shareToken,
  }),
  'SessionConnection/ProposeConnection': ({
    connection,
  }: {
    connection: { connectionId: string };
  }) => ({ CONNECTION_ID: connection.connectionId }),
  // A preview makes no session.
  'SessionImport/ImportSession': ({ session }: { session: { sessionId?: string } }) =>
    session.sessionId === undefined ? {} : { SESSION_ID: session.sessionId },
  'SessionRead/GetSession': ({ more }: { more: { pageToken: string }[] }) => ({
    ROWS_PAGE_TOKEN: more[0]?.pageToken ?? '',
  }),
};

/**
 * Expects of an answer that it has all that is shown of it: the same names, and values of the same
 * form. Ids, times and secrets differ from run to run.
 */
function expectLike(actual: unknown, shown: unknown, where: string): void {
  if (Array.isArray(shown)) {
    expect(actual, where).to.be.an('array').with.length.at.least(shown.length);
    for (const [index, item] of shown.entries()) {
      expectLike((actual as unknown[])[index], item, `${where}[${index}]`);
    }
  } else if (typeof shown === 'object' && shown !== null) {
    expect(actual, where)
      .to.be.an('object')
      .that.includes.all.keys(...Object.keys(shown));
    for (const [name, value] of Object.entries(shown)) {
      expectLike((actual as Record<string, unknown>)[name], value, `${where}.${name}`);
    }
  } else if (isJson(shown) && isJson(actual)) {
    // Each database has its own order and blanks in JSON.
    expectLike(JSON.parse(actual), JSON.parse(shown), where);
  } else {
    expect(formOf(actual), where).to.equal(formOf(shown));
  }
}

function isJson(value: unknown): value is string {
  return typeof value === 'string' && /^[[{]/.test(value);
}

/** A value, less what differs from run to run. */
function formOf(value: unknown): unknown {
  if (typeof value !== 'string') return value;
  return value
    .replace(/^(eyJ|Wy).*/, '<token>')
    .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, '<id>')
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, '<time>')
    .replace(/^[0-9a-f]{16}$/, '<kid>')
    .replace(/[\w-]{43}$/, '<secret>');
}
