import * as fc from 'fast-check';
import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import { expect } from 'chai';
import { seedDemo, type DemoData } from '../../src/demo';
import { newId } from '../../src/model/ids';
import { must } from '../../src/model/must';
import { failureOf } from '../support/client';
import { methodOf, methods, titleOf } from '../support/methods';
import { startHarness, type Harness } from '../support/service';

/** A list that goes on behind its first page, and the token of the second page. */
interface List {
  readonly title: string;
  readonly request: JsonObject;
  /** The same list with other filters. */
  readonly other: JsonObject;
  readonly token: string;
}

/** What a token is made of. */
type Content = [digest: string, cursor: (string | number)[]];

/** What no column of a list can hold. */
const impossible: readonly unknown[] = [
  ...[null, true, {}, [], '', 'null', '1', "' OR 1 = 1 -- ", '\u0000', '\ud800'],
  ...[1.5, 2 ** 53, 1e300, -1e300],
  ...['0000-00-00', '0000-01-01', '10000-01-01', '-0001-01-01', '+2026-01-01'].map(
    (day) => `${day}T00:00:00.000000`,
  ),
  ...['2026-02-30', '2026-13-01'].map((day) => `${day}T00:00:00.000000`),
  ...['Z', '+02:00', ' ', '\n', '0', '.0'].map((end) => `2026-01-01T00:00:00.000000${end}`),
  ...['24:00:00.000000', '23:59:60.000000', '00:00:00.000', '00:00:00'].map(
    (time) => `2026-01-01T${time}`,
  ),
];

/** What a column can hold, if it has the type. */
const extreme: readonly (string | number)[] = [
  ...['0001-01-01', '0999-12-31', '9999-12-31'].map((day) => `${day}T00:00:00.000000`),
  ...[-1, 0, 2 ** 31, Number.MAX_SAFE_INTEGER, newId().toUpperCase()],
];

describe('a page token', () => {
  let harness: Harness;
  let demo: DemoData;
  let lists: readonly List[];
  before(async () => {
    harness = await startHarness();
    demo = await seedDemo(harness.db);
    const { userSessionId: session_id, businessSessionId } = demo.source;
    const sharing = { session_id, for_application_id: demo.importing.applicationId };
    for (let time = 0; time < 2; time++) {
      await call('SessionShare/ShareSession', sharing);
      await failureOf(call('SessionImport/ImportSession', {}));
      await call('SessionConnection/ProposeConnection', {
        other_application_id: newId(),
        own_side: 'CONNECTION_PARTY_SOURCE',
        terms: { session_kinds: ['SESSION_KIND_USER'] },
      });
    }
    const page = { page_size: 1 };
    const wanted: readonly Omit<List, 'token'>[] = [
      {
        title: 'SessionRead/ListSessions',
        request: page,
        other: { ...page, session_kind: 'SESSION_KIND_USER' },
      },
      {
        title: 'SessionImport/ListWorkflows',
        request: page,
        other: { ...page, session_kind: 'SESSION_KIND_USER' },
      },
      {
        title: 'SessionTrace/ListImports',
        request: page,
        other: { ...page, outcome: 'IMPORT_OUTCOME_REFUSED' },
      },
      {
        title: 'SessionShare/ListShareTokens',
        request: { ...page, session_id },
        other: { ...page, session_id: businessSessionId },
      },
      {
        title: 'SessionConnection/ListConnections',
        request: page,
        other: { ...page, own_side: 'CONNECTION_PARTY_SOURCE' },
      },
      {
        title: 'SessionRead/ListSessionRows',
        request: { ...page, session_id, relation: 'logs' },
        other: { ...page, session_id, relation: 'reviews' },
      },
    ];
    const found = await Promise.all(
      wanted.map(async (list) => {
        const answer = (await call(list.title, list.request)) as { next_page_token?: string };
        return { ...list, token: must(answer.next_page_token, `a token of ${list.title}`) };
      }),
    );
    lists = [...found, ...(await listsOfGetSession())];
  });
  after(() => harness.stop());

  function call(
    title: string,
    request: JsonObject,
    apiKey = demo.source.apiKey,
  ): Promise<JsonValue> {
    const method = must(
      methods.find((each) => titleOf(each) === title),
      title,
    );
    return harness.client.call(methodOf(method), apiKey, request);
  }

  /** Each relation whose rows GetSession has begun to show. */
  async function listsOfGetSession(): Promise<List[]> {
    const { userSessionId: session_id } = demo.source;
    const request = { session_id, relation_page_size: 1 };
    const { more } = (await call('SessionRead/GetSession', request)) as {
      more: { relation: string; page_token: string }[];
    };
    return more.map(({ relation, page_token: token }) => ({
      title: 'SessionRead/ListSessionRows',
      request: { session_id, relation },
      other: { session_id, relation: relation === 'faces' ? 'logs' : 'faces' },
      token,
    }));
  }

  const asking = (list: List, token: string, request = list.request, apiKey?: string) =>
    call(list.title, { ...request, page_token: token }, apiKey);

  async function expectRefusal(refused: Promise<unknown>, token: string): Promise<void> {
    const failure = await failureOf(refused);
    expect(failure, token).to.include({ code: 'INVALID_ARGUMENT', reason: 'INVALID_REQUEST' });
    const fields = failure.badRequest?.fieldViolations.map(({ field }) => field);
    expect(fields).to.deep.equal(['page_token']);
  }

  /** Asks for the page of a token, which may be one by chance; the service must know it by itself. */
  async function expectPageOrRefusal(list: List, token: string): Promise<void> {
    const page = asking(list, token);
    const answered = await page.then(
      () => true,
      () => false,
    );
    if (!answered) await expectRefusal(page, token);
  }

  const anyList = () => fc.nat(lists.length - 1).map((index) => must(lists[index], 'a list'));

  it('is of one list alone: of no other call, filter, relation or application', async () => {
    expect(lists.length).to.be.greaterThan(6);
    for (const list of lists) {
      await asking(list, list.token);
      await expectRefusal(asking(list, list.token, list.other), list.token);
      const others = lists.filter(({ token }) => token !== list.token);
      for (const { token } of others) await expectRefusal(asking(list, token), token);
    }
    const ofApplication = lists.filter(({ title }) => /ListSessions|ListImports/.test(title));
    expect(ofApplication).to.have.length(2);
    for (const { title, request, token } of ofApplication) {
      const foreign = call(title, { ...request, page_token: token }, demo.importing.apiKey);
      await expectRefusal(foreign, token);
    }
  });

  it('that somebody has made up is refused', async () => {
    const anyToken = fc.oneof(
      fc.string({ minLength: 1, unit: 'grapheme' }),
      fc.uint8Array({ minLength: 1 }).map((bytes) => Buffer.from(bytes).toString('base64url')),
      fc.json().map(encoded),
      fc.constantFrom('[', '{', '"').map((open) => encoded(open.repeat(20_000))),
      fc.constant('A'.repeat(60_000)),
    );
    await fc.assert(
      fc.asyncProperty(anyList(), anyToken, (list, token) =>
        expectRefusal(asking(list, token), token),
      ),
      { numRuns: 60, endOnFailure: true },
    );
  });

  it('that has lost some of its end is refused', async () => {
    await fc.assert(
      fc.asyncProperty(anyList(), fc.double({ min: 0, max: 1, noNaN: true }), (list, share) => {
        const length = 1 + Math.floor(share * (list.token.length - 2));
        const token = list.token.slice(0, length);
        return expectRefusal(asking(list, token), token);
      }),
      { numRuns: 30, endOnFailure: true },
    );
  });

  it('with a bit or two that were flipped is refused, or is another place of the same list', async () => {
    const bits = fc.array(fc.nat(), { minLength: 1, maxLength: 2 });
    await fc.assert(
      fc.asyncProperty(anyList(), bits, (list, flipped) => {
        const bytes = Buffer.from(list.token, 'base64url');
        for (const bit of flipped) {
          const at = (bit >> 3) % bytes.length;
          bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << (bit & 7)), at);
        }
        return expectPageOrRefusal(list, bytes.toString('base64url'));
      }),
      { numRuns: 60, endOnFailure: true },
    );
  });

  it('with a value that no row can have is refused, and one of the same type is a place', async () => {
    // A list of each kind of key: moments and ids, and one and two ordinals.
    const various = lists.filter(
      ({ title, request }) =>
        title !== 'SessionRead/ListSessionRows' ||
        request['relation'] === 'logs' ||
        request['relation'] === 'aml_hits',
    );
    for (const list of various) {
      const [digest, cursor] = contentOf(list.token);
      const forged = (values: readonly unknown[]): string[] =>
        cursor.flatMap((_, index) =>
          values.map((value) =>
            encoded(JSON.stringify([digest, cursor.with(index, value as string)])),
          ),
        );
      await Promise.all([
        ...forged(impossible).map((token) => expectRefusal(asking(list, token), token)),
        ...forged(extreme).map((token) => expectPageOrRefusal(list, token)),
      ]);
    }
  });

  it('with more or fewer values than its list is ordered by is refused', async () => {
    for (const list of lists) {
      const [digest, cursor] = contentOf(list.token);
      const contents: unknown[] = [
        [digest],
        [digest, []],
        [digest, cursor.slice(1)],
        [digest, [...cursor, newId()]],
        [digest, cursor, newId()],
        [digest, Object.fromEntries(cursor.entries())],
        [digest, cursor.map((value) => [value])],
      ];
      for (const content of contents) {
        const token = encoded(JSON.stringify(content));
        await expectRefusal(asking(list, token), token);
      }
    }
  });
});

function contentOf(token: string): Content {
  return JSON.parse(Buffer.from(token, 'base64url').toString()) as Content;
}

function encoded(text: string): string {
  return Buffer.from(text).toString('base64url');
}
