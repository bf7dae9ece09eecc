import { expect } from 'chai';
import { openMultiDatabase } from '../../src/db/connection';
import type { Database, MultiDatabase } from '../../src/db/database';
import { write } from '../../src/db/query';
import { SessionEventType, type SessionEvent } from '../../src/gen/sessionimport/v1/session_events';
import { toBinary, toId, type SessionId } from '../../src/model/ids';
import { sessionKinds, type SessionKind } from '../../src/model/session';
import { prepareSweep, storeSweep } from '../../src/store/sweeps';
import { sweepChanged } from '../../src/sweeps/changed';
import { sweepGone } from '../../src/sweeps/gone';
import { sessionOf } from '../support/client';
import { erase } from '../support/erasure';
import { eventsOf, listEvents, quickEvents, typesOf } from '../support/events';
import { createSession, createTenant, type Tenant } from '../support/fixtures';
import { eventually } from '../support/helpers';
import { createMigratedDatabase, open } from '../support/mysql';
import { startHarness, type Harness } from '../support/service';
import { withdraw, withdrawalsOf } from '../support/withdrawals';

describe('the sweeps for sources', () => {
  let url: string;
  let harness: Harness;
  let db: MultiDatabase;
  let own: Database;
  let source: Tenant;
  let target: Tenant;
  before(async () => {
    url = await createMigratedDatabase();
    harness = await startHarness({ environment: { ...quickEvents, DATABASE_URL: url } });
    own = open(url);
    db = openMultiDatabase({ url, poolSize: 4, lockWaitSeconds: 10 });
    for (const kind of sessionKinds) await write(db, prepareSweep(`changed ${kind}`));
    await write(db, prepareSweep('gone'));
  });
  beforeEach(async () => {
    [source, target] = [await createTenant(own), await createTenant(own)];
    for (const kind of sessionKinds) {
      // Whatever was changed before is done with.
      await write(db, storeSweep(`changed ${kind}`, null));
      await sweepChanged(db, kind);
    }
  });
  after(async () => {
    await db.destroy();
    await own.destroy();
    await harness.stop();
  });

  const copyTo = async (
    to: Tenant,
    from: Tenant,
    session: SessionId,
    kind: SessionKind = 'user',
  ) => {
    const answer = await harness.client.import(to.apiKey, {
      shareToken: await harness.signer.share(from, to, kind, session),
      workflowId: to.workflows[kind],
    });
    return toId<SessionId>(sessionOf(answer).sessionId);
  };

  /**
   * Changes a session, as the platform does, so many seconds ago. The import is moved before that, and where the sweep
   * goes on.
   */
  const change = async (kind: SessionKind, id: SessionId, secondsAgo: number): Promise<Date> => {
    const at = new Date(Date.now() - secondsAgo * 1_000);
    await own('session_imports')
      .where({ source_session_id: toBinary(id) })
      .update({ created_at: new Date(at.getTime() - 60_000) });
    await own(`${kind}_sessions`)
      .where({ id: toBinary(id) })
      .update({ status: 'Kyc Expired', updated_at: at });
    const before = new Date(at.getTime() - 1).toISOString().slice(0, -1);
    await write(
      db,
      storeSweep(`changed ${kind}`, [`${before}000`, '00000000-0000-0000-0000-000000000000']),
    );
    return at;
  };

  const toldOf = async (tenant: Tenant): Promise<SessionEvent[]> =>
    (await listEvents(harness, tenant, { pageSize: 500 })).events.filter(
      ({ type }) => type === SessionEventType.SESSION_EVENT_TYPE_SOURCE_CHANGED,
    );

  for (const kind of sessionKinds) {
    it(`tell once of a ${kind} session that was changed after it was imported`, async () => {
      const original = await createSession(own, source, kind);
      const copy = await copyTo(target, source, original, kind);
      const at = await change(kind, original, 60);
      expect(await sweepChanged(db, kind)).to.equal(false);
      await sweepChanged(db, kind);
      const [, event] = await eventsOf(harness, target, 2);
      expect(event).to.deep.include({
        type: SessionEventType.SESSION_EVENT_TYPE_SOURCE_CHANGED,
        createdAt: at,
        sessionId: copy,
        sharedFromSession: original,
        otherApplicationId: source.applicationId,
      });
      await change(kind, original, 50);
      await sweepChanged(db, kind);
      await eventsOf(harness, target, 3);
      expect(await toldOf(target)).to.have.length(2);
      expect(await toldOf(source)).to.deep.equal([]);
    });
  }

  it('look at a change only when its transaction must have been committed', async () => {
    const original = await createSession(own, source, 'user');
    await copyTo(target, source, original);
    await change('user', original, 1);
    await sweepChanged(db, 'user');
    // What comes later would tell of it.
    const other = await createSession(own, source, 'user');
    await copyTo(target, source, other);
    await eventsOf(harness, target, 2);
    expect(await toldOf(target)).to.deep.equal([]);
    await change('user', original, 31);
    await sweepChanged(db, 'user');
    await eventsOf(harness, target, 3);
    expect(await toldOf(target)).to.have.length(1);
  });

  it('do not tell of an import, a copy that was erased, or a change before the import', async () => {
    const [first, second] = [
      await createSession(own, source, 'user'),
      await createSession(own, source, 'user'),
    ];
    const erased = await copyTo(target, source, first);
    await copyTo(target, source, second);
    await erase(harness, target, erased);
    const at = await change('user', first, 60);
    await own('user_sessions')
      .where({ id: toBinary(second) })
      .update({ updated_at: new Date(at.getTime() + 1) });
    await own('session_imports')
      .where({ source_session_id: toBinary(second) })
      .update({ created_at: new Date(at.getTime() + 2) });
    await sweepChanged(db, 'user');
    await copyTo(target, source, await createSession(own, source, 'user'));
    await eventsOf(harness, target, 4);
    expect(await toldOf(target)).to.deep.equal([]);
  });

  it('do not tell of changes after a withdrawal that has ended the sharing', async () => {
    const original = await createSession(own, source, 'user');
    await copyTo(target, source, original);
    await withdraw(harness, source, original);
    await eventsOf(harness, target, 2);
    await change('user', original, 60);
    await sweepChanged(db, 'user');
    await copyTo(target, source, await createSession(own, source, 'user'));
    await eventsOf(harness, target, 3);
    expect(await toldOf(target)).to.deep.equal([]);
  });

  it('begin now, and miss nothing that comes after that', async () => {
    await write(db, storeSweep('changed user', null));
    expect(await sweepChanged(db, 'user')).to.equal(false);
    const [row] = (await own('source_sweeps').where({ name: 'changed user' })) as {
      readonly place: string;
    }[];
    const [moment] = JSON.parse(row?.place ?? '[]') as string[];
    expect(Math.abs(Date.parse(`${moment ?? ''}Z`) - Date.now())).to.be.below(60_000);
  });

  it('withdraw a source that the platform has deleted, once, whoever sweeps', async () => {
    const original = await createSession(own, source, 'user');
    const copy = await copyTo(target, source, original);
    const third = await createTenant(own);
    const further = await copyTo(third, target, copy);
    await own('user_sessions')
      .where({ id: toBinary(original) })
      .delete();
    await Promise.all([sweepGone(db), sweepGone(db), sweepGone(db)]);
    await sweepGone(db);
    await eventually(async () => (await listEvents(harness, third)).lastSequence >= 2);
    for (const [tenant, session] of [
      [target, copy],
      [third, further],
    ] as const) {
      const [withdrawn, ...more] = await withdrawalsOf(harness, tenant, 'recipient');
      expect(withdrawn).to.include({ sessionId: session });
      expect(more).to.deep.equal([]);
    }
    expect(typesOf((await listEvents(harness, third)).events)).to.deep.equal([
      'SESSION_IMPORTED',
      'SOURCE_WITHDRAWN',
    ]);
  });

  it('go through the ledger in slices, and begin again at its end', async () => {
    const originals = await Promise.all(
      Array.from({ length: 3 }, () => createSession(own, source, 'user')),
    );
    for (const original of originals) await copyTo(target, source, original);
    await sweepGone(db);
    const [row] = (await own('source_sweeps').where({ name: 'gone' })) as {
      readonly place: string | null;
    }[];
    expect(row?.place).to.equal(null);
    // A source whose erasure was told is not told again.
    await erase(harness, source, originals[0] ?? '');
    await own('user_sessions')
      .where({ id: toBinary(originals[0] ?? source.applicationId) })
      .delete();
    await sweepGone(db);
    await eventually(async () => (await withdrawalsOf(harness, target, 'recipient')).length > 0);
    expect(await withdrawalsOf(harness, target, 'recipient')).to.have.length(1);
  });

  it('end a step after enough copies, and go on there', async () => {
    const third = await createTenant(own);
    const originals = [
      await createSession(own, source, 'user'),
      await createSession(own, source, 'user'),
    ];
    for (const original of originals)
      for (const tenant of [target, third]) await copyTo(tenant, source, original);
    const [first, second] = originals as [SessionId, SessionId];
    await change('user', second, 50);
    await change('user', first, 60);
    expect(await sweepChanged(db, 'user', 2)).to.equal(true);
    await eventsOf(harness, target, 3);
    expect((await toldOf(target)).map((event) => event.sharedFromSession)).to.deep.equal([first]);
    while (await sweepChanged(db, 'user', 2));
    await eventsOf(harness, target, 4);
    expect(await toldOf(target)).to.have.length(2);

    await own('user_sessions').whereIn('id', originals.map(toBinary)).delete();
    expect(await sweepGone(db, 2)).to.equal(true);
    expect(await withdrawalsOf(harness, third, 'recipient')).to.have.length(1);
    expect(await sweepGone(db, 2)).to.equal(false);
    for (const tenant of [target, third])
      expect(await withdrawalsOf(harness, tenant, 'recipient')).to.have.length(2);
  });

  it('are run by the service', async () => {
    const serving = await startHarness({
      environment: { ...quickEvents, SOURCE_SWEEP_INTERVAL: '1', DATABASE_URL: url },
      signer: harness.signer,
    });
    try {
      const original = await createSession(own, source, 'user');
      const copy = await copyTo(target, source, original);
      await own('user_sessions')
        .where({ id: toBinary(original) })
        .delete();
      await eventually(
        async () =>
          (await withdrawalsOf(harness, target, 'recipient', { sessionId: copy })).length === 1,
      );
    } finally {
      await serving.stop();
    }
  });
});
