import { expect } from 'chai';
import { newId, toBinary, type SessionId } from '../../src/model/ids';
import { must } from '../../src/model/must';
import { kindSchemas } from '../../src/model/relations';
import { sessionKinds, type SessionKind } from '../../src/model/session';
import { openMultiDatabase } from '../../src/db/connection';
import { setRetention } from '../../src/store/retention';
import { prune } from '../../src/prune/prune';
import { failureOf, sessionOf } from '../support/client';
import { createCompany, requestWithLinked } from '../support/companies';
import { erase, retain } from '../support/erasure';
import { addLogs, createSession, createSessions } from '../support/fixtures';
import { MysqlProxy } from '../support/mysql-proxy';
import {
  dump,
  fillWithNeedles,
  runOf,
  startPruneHarness,
  type PruneHarness,
} from '../support/pruning';

/** Which values a text does not have. They consist of letters, digits, `_` and `-`. */
function missingIn(text: string, needles: readonly string[]): string[] {
  const words = new Set(text.match(/[\w-]+/g));
  return needles.filter((needle) => !words.has(needle));
}

describe('pruning', () => {
  let harness: PruneHarness;
  before(async function () {
    this.timeout(120_000);
    harness = await startPruneHarness();
  });
  after(() => harness.stop());

  const count = async (table: string, where: object = {}): Promise<number> => {
    const rows = await harness.db(table).where(where).select(harness.db.raw('1'));
    return rows.length;
  };

  const sessionRowOf = async (kind: SessionKind, id: SessionId) => {
    const rows: Record<string, unknown>[] = await harness
      .db(kindSchemas[kind].sessions)
      .where({ id: toBinary(id) });
    return rows[0];
  };

  const rowsOf = async (kind: SessionKind, id: SessionId): Promise<number> => {
    const { sessions, relations } = kindSchemas[kind];
    let rows = await count(sessions, { id: toBinary(id) });
    for (const { table } of relations) rows += await count(table, { session_id: toBinary(id) });
    return rows;
  };

  const importBy = async (kind: SessionKind, id: SessionId, more: object = {}) => {
    const { client, signer, source, target } = harness;
    return client.import(target.apiKey, {
      shareToken: await signer.share(source, target, kind, id),
      workflowId: target.workflows[kind],
      ...more,
    });
  };

  for (const kind of sessionKinds) {
    it(`leaves no value of an erased ${kind} session anywhere, original and copy`, async () => {
      const { db, source, target } = harness;
      const secrets = ['callback', 'metadata', 'details', 'contact', 'vendor', 'mine'].map(
        (name) => `needle-${kind}-${name}-${newId().slice(-8)}`,
      );
      const [callback, metadata, details, contact, vendor, mine] = secrets;
      const original = await createSession(db, source, kind, {
        callback,
        metadata: JSON.stringify({ metadata }),
        expected_details: JSON.stringify({ details }),
        contact_details: JSON.stringify({ contact }),
        vendor_data: Buffer.from(must(vendor, 'a value')),
      });
      const needles = [...secrets, ...(await fillWithNeedles(db, kind, original))];
      const request = { vendorData: mine, requestId: newId() };
      const copy = sessionOf(await importBy(kind, original, request));
      needles.push(copy.sessionUrl.split('/').at(-1) ?? 'no URL');
      const row = must(await sessionRowOf(kind, original), 'the original');
      needles.push(String(row['session_token']));

      expect(missingIn(await dump(db), needles)).to.deep.equal([]);

      const erased = await erase(harness, source, original);
      await erase(harness, target, copy.sessionId);
      const tally = await harness.prune({ batch: 7 });
      expect(tally).to.include({ sessions: 2 });
      expect(tally.rows).to.be.greaterThan(20);

      const after = await dump(db);
      expect(missingIn(after, needles)).to.deep.equal(needles);
      expect(after).not.to.include(Buffer.from('needle').toString('hex'));
      expect(harness.logLines.join('\n')).not.to.include('needle');

      // What has ids alone stays: when it was erased, and that it was imported.
      expect(await erase(harness, source, original)).to.deep.equal(erased);
      expect(await failureOf(importBy(kind, original, request))).to.include({
        reason: 'SESSION_ALREADY_IMPORTED',
      });
      expect(await harness.prune()).to.include({ sessions: 0, rows: 0 });
    });
  }

  it('leaves a vendor entity as long as a session belongs to it', async () => {
    const { db, source, target } = harness;
    const request = { vendorData: `shared ${newId()}` };
    const copies = [];
    for (const id of await createSessions(db, source, 'user', 2)) {
      copies.push(sessionOf(await importBy('user', id, request)).sessionId);
    }
    const entities = () => count('vendor_users', { vendor_data: Buffer.from(request.vendorData) });
    for (const [index, copy] of copies.entries()) {
      await erase(harness, target, copy);
      await harness.prune();
      expect(await entities()).to.equal(1 - index);
    }
    // It is made again for the next one.
    sessionOf(await importBy('user', await createSession(db, source, 'user'), request));
    expect(await entities()).to.equal(1);
  });

  it('makes key people of other sessions point at no erased session, and at the others as before', async () => {
    const { db, client, source, target } = harness;
    const people = await createSessions(db, source, 'user', 2);
    const [first, second] = people;
    const company = await createCompany(db, source, [...people, null]);
    const answer = await client.import(target.apiKey, await requestWithLinked(harness, company));
    const copies = answer.linkedSessions.map(({ session }) => session?.sessionId ?? '');
    await erase(harness, source, first ?? '');
    await erase(harness, target, copies[1] ?? '');
    await harness.prune();
    const linkedBy = async (id: string): Promise<unknown[]> => {
      const rows: Record<string, unknown>[] = await db('business_key_people')
        .where({ session_id: toBinary(id as SessionId) })
        .orderBy('ordinal');
      return rows.map((row) => row['kyc_session_id']);
    };
    expect(await linkedBy(company)).to.deep.equal([null, toBinary(must(second, 'one')), null]);
    expect(await linkedBy(sessionOf(answer).sessionId)).to.deep.equal([
      toBinary(copies[0] as SessionId),
      null,
      null,
    ]);
  });

  it('ends with the same result wherever it was killed, and when it is run again', async () => {
    const { db, source, jobUrl } = harness;
    const proxy = await MysqlProxy.open(jobUrl);
    let points = 0;
    // Every third statement: odd and even ones in turn.
    for (let killedAt = 1; ; killedAt += 3) {
      const person = await createSession(db, source, 'user');
      await addLogs(db, 'user', person, 5);
      const company = await createCompany(db, source, [person, null]);
      const due = await createSession(db, source, 'user');
      const eraseAfter = new Date(Date.now() - 1);
      const { jobDb } = harness;
      const clock = () => new Date(0);
      const hold = { sessionId: due, kind: 'user', owner: undefined, actor: null, clock } as const;
      await setRetention(jobDb, { ...hold, retention: { eraseAfter, hold: null } });
      await erase(harness, source, person);

      // Half of the times, the last statement is carried out, and only its answer is lost.
      let statements = 0;
      proxy.intercept = async (statement) => {
        statements += 1;
        if (statements < killedAt) return;
        if (killedAt % 2 === 0) await statement.answered();
        statement.cut();
      };
      const mortal = openMultiDatabase({ url: proxy.url, poolSize: 1, lockWaitSeconds: 10 });
      const run = runOf(mortal, { batch: 2 }, { retry: (work) => work() });
      await prune(run).catch(() => undefined);
      proxy.intercept = undefined;
      await mortal.destroy();

      await harness.prune({ batch: 2 });
      for (const id of [person, due]) expect(await rowsOf('user', id)).to.equal(0);
      expect(await count('session_retention', { session_id: toBinary(due) })).to.equal(0);
      expect(await count('session_erasures', { pruned_at: null })).to.equal(0);
      const linked = { session_id: toBinary(company), kyc_session_id: toBinary(person) };
      expect(await count('business_key_people', linked)).to.equal(0);
      await db('business_sessions')
        .where({ id: toBinary(company) })
        .delete();
      if (statements < killedAt) break;
      points = killedAt;
    }
    expect(points).to.be.greaterThan(30);
    proxy.close();
  });

  it('may run several times at once: each session is counted once', async () => {
    const { db, source } = harness;
    const sessions = await createSessions(db, source, 'user', 20);
    for (const id of sessions) {
      await addLogs(db, 'user', id, 5);
      await erase(harness, source, id);
    }
    const tallies = await Promise.all([1, 2, 3].map(() => harness.prune({ batch: 2 })));
    tallies.push(await harness.prune());
    const sum = (what: 'sessions' | 'rows'): number =>
      tallies.reduce((total, tally) => total + tally[what], 0);
    expect([sum('sessions'), sum('rows')]).to.deep.equal([20, 100]);
    for (const id of sessions) expect(await rowsOf('user', id)).to.equal(0);
  });

  it('deletes few rows in each transaction, and lets imports go on', async () => {
    const { db, source } = harness;
    const large = await createSession(db, source, 'user');
    await addLogs(db, 'user', large, 500);
    await erase(harness, source, large);
    const others = await createSessions(db, source, 'user', 20);
    for (const id of others) await addLogs(db, 'user', id, 3);
    const imports = others.map((id) => importBy('user', id));

    const steps = [0];
    const told = ({ rows }: { readonly rows: number }) => void steps.push(rows);
    const { rows } = await harness.prune({ batch: 20 }, { told });
    const grown = steps.map((value, index) => value - (steps[index - 1] ?? 0));
    expect(Math.max(...grown)).to.equal(20);
    expect(rows).to.equal(500);
    for (const answer of await Promise.all(imports)) {
      expect(sessionOf(answer).sessionId).not.to.equal('');
    }
  });

  it('erases sessions whose time is over, but none that is on hold', async () => {
    const { db, source, jobDb } = harness;
    const [over, later, held, wasHeld] = await createSessions(db, source, 'user', 4);
    const now = new Date(Date.now() + 1_000_000);
    const soon = new Date(now.getTime() - 1);
    const set = (id: SessionId | undefined, retention: Parameters<typeof retain>[3]) =>
      retain(harness, source, id ?? '', retention);
    await set(over, { eraseAfter: soon, hold: undefined });
    await set(later, { eraseAfter: new Date(now.getTime() + 1), hold: undefined });
    await set(held, { eraseAfter: soon, hold: { until: undefined, reference: 'case/1' } });
    await set(wasHeld, { eraseAfter: soon, hold: { until: soon, reference: undefined } });
    const run = runOf(jobDb, {}, { now });
    await prune(run);
    expect(run.tally).to.include({ retentionOver: 2, sessions: 2 });
    const left = await Promise.all(
      [over, later, held, wasHeld].map((id) => rowsOf('user', must(id, 'a session'))),
    );
    expect(left).to.deep.equal([0, 1, 1, 0]);
    expect((await erase(harness, source, over ?? '')).erasedAt).to.deep.equal(now);
    // The others are gone with their retention.
    expect(await count('session_retention', { session_id: toBinary(must(over, 'one')) })).to.equal(
      0,
    );
  });

  it('erases no session whose retention was changed after it was found', async () => {
    const { db, source } = harness;
    const now = new Date(Date.now() + 1_000_000);
    // What other tests have left.
    await harness.prune({}, { now });
    const later = new Date(now.getTime() + 1);
    const hold = { until: undefined, reference: undefined };
    const changes = [
      { eraseAfter: later, hold: undefined },
      undefined,
      { eraseAfter: later, hold },
      { eraseAfter: undefined, hold },
      { eraseAfter: undefined, hold: { ...hold, until: later } },
    ];
    for (const kind of sessionKinds) {
      const first = await createSession(db, source, kind);
      const changed = await createSessions(db, source, kind, changes.length);
      for (const [index, id] of [first, ...changed].entries()) {
        const eraseAfter = new Date(now.getTime() - 10 + index);
        await retain(harness, source, id, { eraseAfter, hold: undefined });
      }
      const change = (): Promise<unknown> =>
        Promise.all(
          changes.map((each, index) => retain(harness, source, changed[index] ?? '', each)),
        );
      // The first erasure shows that all of them were found.
      let changing: Promise<unknown> | undefined;
      const { retentionOver, sessions } = await harness.prune(
        {},
        {
          now,
          told: () => void (changing ??= change()),
          retry: async (work) => {
            await changing;
            return work();
          },
        },
      );
      expect([retentionOver, sessions]).to.deep.equal([1, 1]);
      const left = await Promise.all([first, ...changed].map((id) => rowsOf(kind, id)));
      expect(left).to.deep.equal([0, ...changes.map(() => 1)]);
    }
  });

  it('forgets the retention of a session that the platform has deleted, whatever was set', async () => {
    const { db, source } = harness;
    const later = new Date(Date.now() + 500_000);
    const hold = { until: undefined, reference: undefined };
    const all = [
      { eraseAfter: later, hold: undefined },
      { eraseAfter: undefined, hold },
      { eraseAfter: undefined, hold: { ...hold, until: later } },
      { eraseAfter: later, hold },
      { eraseAfter: undefined, hold: undefined },
    ];
    const retained = async (ids: readonly SessionId[]): Promise<number> =>
      (await db('session_retention').whereIn('session_id', ids.map(toBinary)).select('session_id'))
        .length;
    for (const kind of sessionKinds) {
      const deleted = await createSessions(db, source, kind, all.length);
      const kept = await createSessions(db, source, kind, all.length);
      for (const [index, retention] of all.entries()) {
        for (const ids of [deleted, kept]) {
          await retain(harness, source, ids[index] ?? '', retention);
        }
      }
      await db(kindSchemas[kind].sessions).whereIn('id', deleted.map(toBinary)).delete();
      // After a restore, they may still come back.
      await harness.prune({ complete: false });
      expect(await retained(deleted)).to.equal(all.length);
      const { retentionOver } = await harness.prune({ batch: 2 });
      expect(retentionOver).to.equal(0);
      expect([await retained(deleted), await retained(kept)]).to.deep.equal([0, all.length]);
    }
  });
});
