import { expect } from 'chai';
import { SignJWT, importJWK } from 'jose';
import { newId, toBinary, toId, type SessionId } from '../../src/model/ids';
import { endings, rowsOf, sessionOf } from '../support/client';
import {
  addLogs,
  createSession,
  createSessions,
  createTenant,
  type Tenant,
} from '../support/fixtures';
import { refusedCalls, type RefusedCall } from '../support/refused';
import { select } from '../support/rows';
import { namesOf } from '../support/scopes';
import { startProxiedHarness, type ProxiedHarness } from '../support/service';

/** Starts a service that runs one group at a time, so that whoever waits is in the next one. */
const oneAtATime = (environment: Record<string, string>) =>
  startProxiedHarness({ IMPORT_WORKERS: '1', DATABASE_LOCK_WAIT: '1', ...environment });

/** Holds up the service's only group, until it is told to let it go. */
async function holdUp(harness: ProxiedHarness): Promise<() => Promise<void>> {
  const { source, db, proxy } = harness;
  const request = await requestFor(harness, await createSession(db, source, 'user'));
  const { came, letGo } = proxy.holdBack('LOCK IN SHARE MODE');
  const call = harness.client.import(harness.target.apiKey, request);
  await came;
  return async () => {
    letGo();
    await call;
  };
}

async function requestFor(
  { signer, source, target }: ProxiedHarness,
  original: SessionId,
  importing: Tenant = target,
) {
  return {
    shareToken: await signer.share(source, importing, 'user', original),
    workflowId: importing.workflows.user,
  };
}

/** What the log says of the groups that have ended, in their order. */
function groupsOf({ logLines }: ProxiedHarness): Record<string, unknown>[] {
  return logLines
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter(({ msg }) => msg === 'group')
    .map(({ calls, imported, postponed }) => ({ calls, imported, postponed }));
}

const copiesOf = (original: SessionId) =>
  select('SELECT id FROM user_sessions WHERE shared_from_session_id = ?', [toBinary(original)]);

describe('a full group', () => {
  let harness: ProxiedHarness;
  /** As many as the group of the test has, and one that waits in vain. */
  const limit = 30;
  before(async () => {
    harness = await oneAtATime({ IMPORT_QUEUE_LIMIT: String(limit) });
  });
  after(() => harness.stop());

  it('with every failure there is, gives each call the answer that is right for it', async () => {
    const { db, source, target, client } = harness;
    const logs = 3;
    const session = async (columns = {}): Promise<SessionId> => {
      const id = await createSession(db, source, 'user', columns);
      await addLogs(db, 'user', id, logs);
      return id;
    };
    const refused = await refusedCalls(harness);
    const poisoned = await session();
    // The copy's log has no place for another entry: nothing that can be tried again.
    await db('user_logs')
      .where({ session_id: toBinary(poisoned), ordinal: logs - 1 })
      .update({ ordinal: 4_294_967_295 });
    const locked = await session();
    const good = await Promise.all(Array.from({ length: 18 }, () => session()));
    const [any] = good;
    if (!any) throw new Error('no session');
    const anyRequest = await requestFor(harness, any);

    const abandoned = await session();
    const controller = new AbortController();
    const letGo = await holdUp(harness);
    const writer = await db.transaction();
    await writer('user_sessions')
      .where({ id: toBinary(locked) })
      .forUpdate();

    const workflowId = target.workflows.user;
    const fails = (reason: string, request: RefusedCall['request']): RefusedCall => ({
      reason,
      apiKey: target.apiKey,
      request,
    });
    const inTheGroup = [
      ...refused.inTheGroup,
      fails('CONFLICT', await requestFor(harness, locked)),
      fails('INTERNAL', await requestFor(harness, poisoned)),
      // The same session twice in one group: the first stands for both.
      fails('SESSION_ALREADY_IMPORTED', anyRequest),
    ];
    const goodCalls = await Promise.all(
      good.map(async (id) => ({
        reason: 'OK',
        apiKey: target.apiKey,
        request: { ...(await requestFor(harness, id)), workflowId, vendorData: `of ${id}` },
      })),
    );
    // Good ones first, last and in between.
    const calls = [
      ...goodCalls.slice(0, 5),
      ...refused.atTheDoor,
      ...goodCalls.slice(5, 10),
      ...inTheGroup,
      ...goodCalls.slice(10),
    ];
    const abandonedCall = endings([
      client.import(target.apiKey, await requestFor(harness, abandoned), {
        signal: controller.signal,
      }),
    ]);
    const late = endings([
      client.import(target.apiKey, await requestFor(harness, await session()), {
        deadline: Date.now() + 1_500,
      }),
    ]);
    const ended = endings(calls.map(({ apiKey, request }) => client.import(apiKey, request)));
    await harness.queued(limit);
    const inVain = await endings([client.import(target.apiKey, anyRequest)]);
    controller.abort();
    await harness.queued(limit - 2);
    const groupsBefore = groupsOf(harness).length;
    await letGo();

    expect(await ended).to.deep.equal(calls.map(({ reason }) => reason));
    expect(await abandonedCall).to.deep.equal(['CANCELLED']);
    expect(await late).to.deep.equal(['DEADLINE_EXCEEDED']);
    expect(inVain).to.deep.equal(['OVERLOADED']);
    await writer.rollback();

    const inOneGroup = inTheGroup.length + good.length;
    expect(inOneGroup).to.equal(limit - 2);
    expect(groupsOf(harness)[groupsBefore + 1]).to.deep.equal({
      calls: inOneGroup,
      imported: good.length,
      postponed: 0,
    });
    for (const id of good) expect(await copiesOf(id)).to.have.length(1);
    for (const id of [locked, poisoned, abandoned]) {
      expect(await copiesOf(id)).to.deep.equal([]);
      const ledger = 'SELECT * FROM session_imports WHERE source_session_id = ?';
      expect(await select(ledger, [toBinary(id)])).to.deep.equal([]);
    }
  });
});

describe('the queue', () => {
  let harness: ProxiedHarness;
  let other: Tenant;
  const limit = 12;
  const rows = 50;
  beforeEach(async () => {
    harness = await oneAtATime({
      IMPORT_GROUP_SIZE: '4',
      IMPORT_GROUP_ROWS: String(rows),
      IMPORT_QUEUE_LIMIT: String(limit),
    });
    other = await createTenant(harness.db);
  });
  afterEach(() => harness.stop());

  const manyOf = async (count: number, importing: Tenant) => {
    const { db, source, client } = harness;
    const requests = await Promise.all(
      Array.from({ length: count }, async () =>
        requestFor(harness, await createSession(db, source, 'user'), importing),
      ),
    );
    return requests.map((request) => () => client.import(importing.apiKey, request));
  };

  it('gives an application its turn before those of one that came first with many', async () => {
    const flood = await manyOf(10, harness.target);
    const [single] = await manyOf(1, other);
    const letGo = await holdUp(harness);
    const order: string[] = [];
    const noted = (name: string, calls: readonly (() => Promise<unknown>)[]) =>
      calls.map((call) => call().then(() => order.push(name)));
    const answers = noted('flood', flood);
    await harness.queued(flood.length);
    answers.push(...noted('single', single ? [single] : []));
    await harness.queued(flood.length + 1);
    await letGo();
    await Promise.all(answers);
    // In the first group of four.
    expect(order.indexOf('single')).to.be.within(0, 3);
  });

  it('that is full takes a call of another application, and refuses the last of the one with most', async () => {
    const flood = await manyOf(limit, harness.target);
    const [single] = await manyOf(1, other);
    const letGo = await holdUp(harness);
    const flooding = endings(flood.map((call) => call()));
    await harness.queued(limit);
    const others = endings(single ? [single()] : []);
    await harness.logged(() => harness.logLines.some((line) => line.includes('"OVERLOADED"')));
    const [more] = await manyOf(1, harness.target);
    expect(await endings(more ? [more()] : [])).to.deep.equal(['OVERLOADED']);
    await letGo();
    expect(await others).to.deep.equal(['OK']);
    const results = await flooding;
    expect(results.filter((result) => result === 'OVERLOADED')).to.have.length(1);
    expect(results.filter((result) => result === 'OK')).to.have.length(limit - 1);
  });

  it('that is full of large sessions takes a call of another application as well', async () => {
    const { db, source, target, client, proxy } = harness;
    const originals = await Promise.all(
      Array.from({ length: limit + 1 }, () => createSession(db, source, 'user')),
    );
    for (const id of originals) await addLogs(db, 'user', id, rows);
    const requests = await Promise.all(originals.map((id) => requestFor(harness, id)));
    const [single] = await manyOf(1, other);

    // The first one is found to be large; then it holds up the others that are.
    const { came, letGo } = proxy.holdBack('INTO `user_sessions`');
    const importing = (some: typeof requests) =>
      some.map((request) => client.import(target.apiKey, request));
    const first = importing(requests.slice(0, 1));
    await came;
    const flooding = endings([...first, ...importing(requests.slice(1))]);
    await harness.logged(
      () => groupsOf(harness).reduce((sum, { postponed }) => sum + Number(postponed), 0) > limit,
    );
    proxy.intercept = undefined;
    expect(await endings(single ? [single()] : [])).to.deep.equal(['OK']);
    letGo();
    const results = await flooding;
    expect(results.filter((result) => result === 'OVERLOADED')).to.have.length(1);
    expect(results.filter((result) => result === 'OK')).to.have.length(limit);
  });

  it('does not let small sessions wait for a large one', async () => {
    const { db, source, target, client } = harness;
    const sizes = [5, rows + 10, 5, 5];
    const originals = await Promise.all(sizes.map(() => createSession(db, source, 'user')));
    for (const [index, id] of originals.entries()) {
      await addLogs(db, 'user', id, sizes[index] ?? 0);
    }
    const requests = await Promise.all(originals.map((id) => requestFor(harness, id)));
    const letGo = await holdUp(harness);
    const order: number[] = [];
    const answers = requests.map(async (request) => {
      const response = await client.import(target.apiKey, request);
      order.push(rowsOf(response)['logs'] ?? 0);
    });
    await harness.queued(requests.length);
    const groupsBefore = groupsOf(harness).length;
    await letGo();
    await Promise.all(answers);
    expect(order).to.deep.equal([5, 5, 5, rows + 10]);
    expect(groupsOf(harness).slice(groupsBefore + 1)).to.deep.equal([
      { calls: 4, imported: 3, postponed: 1 },
      { calls: 1, imported: 1, postponed: 0 },
    ]);
    expect(await copiesOf(originals[1] ?? newId())).to.have.length(1);
  });

  it('does not let other sessions wait for one that has few rows and large values', async () => {
    const { db, source, client } = harness;
    const other = await createTenant(db);
    const letGo = await holdUp(harness);
    const large = await Promise.all(
      Array.from({ length: 3 }, async () => {
        const id = await createSession(db, other, 'user');
        await addLogs(db, 'user', id, 2);
        await db('user_logs')
          .where({ session_id: toBinary(id) })
          .update({ additional_data: JSON.stringify('x'.repeat(300_000)) });
        return id;
      }),
    );
    const small = await createSession(db, source, 'user');
    const importing = await createTenant(db);
    const requests = await Promise.all([
      ...large.map((id) => requestFor({ ...harness, source: other }, id, importing)),
      requestFor(harness, small, importing),
    ]);
    const before = groupsOf(harness).length;
    const calls = requests.map((request) => client.import(importing.apiKey, request));
    await harness.queued(4);
    await letGo();
    await Promise.all(calls);
    expect(groupsOf(harness).slice(before + 1)).to.deep.equal([
      { calls: 4, imported: 1, postponed: 3 },
      { calls: 1, imported: 1, postponed: 0 },
      { calls: 1, imported: 1, postponed: 0 },
      { calls: 1, imported: 1, postponed: 0 },
    ]);
  });

  it('lets applications take turns with large sessions, too', async () => {
    const { db, source, target, client, proxy } = harness;
    const order: string[] = [];
    const importLarge = async (importing: Tenant, name: string): Promise<() => Promise<void>> => {
      const original = await createSession(db, source, 'user');
      await addLogs(db, 'user', original, rows + 10);
      const request = await requestFor(harness, original, importing);
      return async () => {
        await client.import(importing.apiKey, request);
        order.push(name);
      };
    };
    const postponed = () =>
      groupsOf(harness).reduce((sum, group) => sum + Number(group['postponed']), 0);
    const before = postponed();
    const many = await Promise.all([1, 2, 3, 4].map(() => importLarge(target, 'many')));
    const single = await importLarge(other, 'single');
    // The first one holds up the lane while the others come to it.
    const { came, letGo } = proxy.holdBack('INTO `user_sessions`');
    const answers = many.map((call) => call());
    await came;
    await harness.logged(() => postponed() === before + many.length);
    answers.push(single());
    await harness.logged(() => postponed() === before + many.length + 1);
    letGo();
    await Promise.all(answers);
    expect(order.indexOf('single')).to.be.within(1, 2);
  });

  it('makes groups of fewer calls when sessions have many rows', async () => {
    const { db, source, target, client } = harness;
    const originals = await Promise.all(
      Array.from({ length: 8 }, () => createSession(db, source, 'user')),
    );
    for (const id of originals) await addLogs(db, 'user', id, rows / 2);
    const requests = await Promise.all(originals.map((id) => requestFor(harness, id)));
    const letGo = await holdUp(harness);
    const calls = requests.map((request) => client.import(target.apiKey, request));
    await harness.queued(requests.length);
    await letGo();
    for (const answer of await Promise.all(calls)) {
      expect(rowsOf(answer)).to.deep.equal({ logs: rows / 2 });
    }
    const groups = groupsOf(harness).slice(1);
    for (const { imported } of groups) expect(imported).to.be.at.most(2);
    // The first group had no idea, and had to put some back.
    expect(groups[0]).to.deep.equal({ calls: 4, imported: 2, postponed: 2 });
  });

  it('drops a large session that is given up when it is about to be postponed', async () => {
    const { db, source, target, client, proxy } = harness;
    const [original, another] = [
      await createSession(db, source, 'user'),
      await createSession(db, source, 'user'),
    ];
    for (const id of [original, another]) await addLogs(db, 'user', id, rows + 1);
    const request = await requestFor(harness, original);
    const controller = new AbortController();
    let begun = 0;
    proxy.intercept = async ({ sql }) => {
      if (!sql.includes('LOCK IN SHARE MODE') || ++begun > 1) return;
      controller.abort();
      // What comes on the same connection comes later: now the service knows.
      await endings([client.import(null, {})]);
    };
    const ended = await endings([
      client.import(target.apiKey, request, { signal: controller.signal }),
    ]);
    expect(ended).to.deep.equal(['CANCELLED']);
    // Whatever still waited among the large ones would be imported before this.
    await client.import(target.apiKey, await requestFor(harness, another));
    expect(groupsOf(harness)).to.deep.equal([
      { calls: 1, imported: 0, postponed: 1 },
      { calls: 1, imported: 0, postponed: 1 },
      { calls: 1, imported: 1, postponed: 0 },
    ]);
    expect(await copiesOf(original)).to.deep.equal([]);
  });
});

describe('the round trips of a group', () => {
  let harness: ProxiedHarness;
  before(async () => {
    harness = await oneAtATime({});
  });
  after(() => harness.stop());

  /** The texts of the transaction that the newest group ran in. */
  async function textsOf(work: () => Promise<unknown>): Promise<string[]> {
    let texts: string[] = [];
    let connection: number | undefined;
    harness.proxy.intercept = ({ sql, connectionId }) => {
      if (sql.startsWith('BEGIN')) {
        texts = [];
        connection = connectionId;
      }
      // Other connections look up API keys, and look whether the database answers.
      if (connectionId === connection) texts.push(sql);
    };
    await work();
    harness.proxy.intercept = undefined;
    return texts;
  }

  it('are as many for thousands of rows as for one, and for many calls as for one', async () => {
    const { db, source, target, client } = harness;
    const importing = async (logs: number) => {
      const original = await createSession(db, source, 'user');
      await addLogs(db, 'user', original, logs);
      const request = { ...(await requestFor(harness, original)), vendorData: `of ${original}` };
      return () => client.import(target.apiKey, request);
    };
    await (
      await importing(1)
    )();
    const one = await textsOf(await importing(1));
    expect(one).to.have.length(4);
    expect(one.at(-1)).to.match(/^COMMIT/);
    const calls = await Promise.all(Array.from({ length: 30 }, () => importing(3)));
    const letGo = await holdUp(harness);
    const answers = calls.map((call) => call());
    await harness.queued(calls.length);
    const many = await textsOf(async () => {
      await letGo();
      await Promise.all(answers);
    });
    expect(many).to.have.length(one.length);
    expect(groupsOf(harness).at(-1)).to.deep.equal({ calls: 30, imported: 30, postponed: 0 });
    expect(await textsOf(await importing(2_000))).to.have.length(one.length);
  });

  const removeLog = (id: SessionId, ordinal: number) =>
    harness
      .db('user_logs')
      .where({ session_id: toBinary(id), ordinal })
      .delete();
  const addLog = (id: SessionId) =>
    harness.db('user_logs').insert({
      session_id: toBinary(id),
      ordinal: 3,
      status: 'Approved',
      activity_type: 'step_finished',
      log_type: 'information',
      created_at: new Date(),
      updated_at: new Date(),
    });
  /** What a writer does, and how many of three log entries are left. */
  const unruly: Readonly<Record<string, [left: number, change: (id: SessionId) => unknown]>> = {
    deletes: [2, (id) => removeLog(id, 1)],
    adds: [4, addLog],
    'deletes and adds as many': [3, async (id) => [await removeLog(id, 1), await addLog(id)]],
  };
  for (const [what, [left, change]] of Object.entries(unruly)) {
    it(`tell of a writer who ${what} rows without locking the session, and the next try sees what is there`, async () => {
      const { db, source, target, client, proxy } = harness;
      const original = await createSession(db, source, 'user');
      await addLogs(db, 'user', original, 3);
      const request = await requestFor(harness, original);
      let copied = 0;
      proxy.intercept = async ({ sql }) => {
        if (!sql.includes('INTO `user_sessions`') || ++copied > 1) return;
        // The rows have been counted, and are about to be copied.
        await change(original);
      };
      const response = await client.import(target.apiKey, request);
      proxy.intercept = undefined;
      expect(copied).to.equal(2);
      expect(rowsOf(response)).to.deep.equal({ logs: left });
      const copy = toBinary(toId<SessionId>(sessionOf(response).sessionId));
      const log = await select('SELECT ordinal FROM user_logs WHERE session_id = ?', [copy]);
      // And the import's own entry.
      expect(log).to.have.length(left + 1);
    });
  }
});

describe('a group of very many calls', () => {
  const calls = 140;
  let harness: ProxiedHarness;
  before(async () => {
    harness = await oneAtATime({ IMPORT_GROUP_SIZE: String(calls) });
  });
  after(() => harness.stop());

  for (const choice of ['of whole sessions', 'with a choice of relations each'] as const) {
    it(`${choice} sends no text that is too long for the lowest max_allowed_packet`, async () => {
      const choices = namesOf('user').filter((name) => name !== 'aml_hits');
      const { db, source, target, client, proxy, signer } = harness;
      const long = '€'.repeat(254) + choice.slice(0, 1);
      const { kid = '', ...key } = await signer.addKey({ algorithm: 'EdDSA', kid: long });
      const privateKey = await importJWK(key, 'EdDSA');
      const requests = await Promise.all(
        (await createSessions(db, source, 'user', calls)).map(async (original, index) => ({
          shareToken: await new SignJWT({
            session_id: original,
            from_application_id: source.applicationId,
            for_application_id: target.applicationId,
            jti: long,
            // All of them different, by the digits of the index in binary.
            ...(choice === 'of whole sessions'
              ? {}
              : {
                  relations: [
                    'logs',
                    ...choices.filter((_, place) => ((index >> place) & 1) === 0),
                  ],
                }),
          })
            .setProtectedHeader({ alg: 'EdDSA', kid })
            .setIssuedAt()
            .setExpirationTime('5m')
            .sign(privateKey),
          workflowId: target.workflows.user,
          requestId: newId(),
          vendorData: '\u{1F600}'.repeat(250) + original.slice(0, 5),
        })),
      );
      const letGo = await holdUp(harness);
      const answers = endings(requests.map((request) => client.import(target.apiKey, request)));
      await harness.queued(calls);
      let longest = 0;
      proxy.intercept = ({ bytes }) => {
        longest = Math.max(longest, bytes);
      };
      await letGo();
      expect(new Set(await answers)).to.deep.equal(new Set(['OK']));
      expect(groupsOf(harness)).to.deep.include({ calls, imported: calls, postponed: 0 });
      // The largest group that can be configured has 512 calls. Of 4 MiB, a quarter is left for longer names and URLs.
      expect((longest / calls) * 512).to.be.within(1, 3 * 1024 * 1024);
    });
  }
});
