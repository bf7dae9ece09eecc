import { expect } from 'chai';
import { openMultiDatabase } from '../../src/db/connection';
import type { Database, MultiDatabase } from '../../src/db/database';
import { write } from '../../src/db/query';
import { SessionEventType, type SessionEvent } from '../../src/gen/sessionimport/v1/session_events';
import { WithdrawalReason } from '../../src/gen/sessionimport/v1/session_share';
import { toBinary, toId, type SessionId } from '../../src/model/ids';
import { must } from '../../src/model/must';
import { sessionKinds, type SessionKind } from '../../src/model/session';
import { storeSweep, type SweepName } from '../../src/store/sweeps';
import { sweeps } from '../../src/sweeps';
import { takeStep } from '../../src/sweeps/sweep';
import { sessionOf } from '../support/client';
import { erase } from '../support/erasure';
import { eventsOf, listEvents, quickEvents, typesOf } from '../support/events';
import { createSession, createTenant, type Tenant } from '../support/fixtures';
import { eventually } from '../support/helpers';
import { createMigratedDatabase, open } from '../support/mysql';
import { MysqlProxy } from '../support/mysql-proxy';
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
    db = openMultiDatabase({ url, poolSize: 8, lockWaitSeconds: 10 });
  });
  beforeEach(async () => {
    [source, target] = [await createTenant(own), await createTenant(own)];
    for (const kind of sessionKinds) {
      // Whatever was changed before is done with.
      await write(db, storeSweep(`changed ${kind}`, null, 0));
      await step(`changed ${kind}`);
    }
    await round('missed');
  });
  after(async () => {
    await db.destroy();
    await own.destroy();
    await harness.stop();
  });

  /** Takes a step of a sweep, whenever the last one was taken. */
  const step = (name: SweepName, mostCopies?: number, on = db): Promise<boolean> => {
    const sweep = must(
      sweeps.find((each) => each.name === name),
      'a sweep',
    );
    return takeStep(on, sweep, 0, mostCopies);
  };

  /** Goes once through the whole ledger. */
  const round = async (name: 'missed' | 'gone'): Promise<void> => {
    await write(db, storeSweep(name, null, 0));
    do await step(name);
    while ((await placeOf(name)) !== null);
  };

  const placeOf = async (name: SweepName): Promise<string | null> => {
    const [row] = (await own('source_sweeps').where({ name })) as {
      readonly place: string | null;
    }[];
    return must(row, 'the row of a sweep').place;
  };

  /** Has the sweep for changes go on just before a moment. */
  const goBackTo = async (kind: SessionKind, at: Date): Promise<void> => {
    const before = new Date(at.getTime() - 1).toISOString().slice(0, -1);
    const place = [`${before}000`, '00000000-0000-0000-0000-000000000000'];
    await write(db, storeSweep(`changed ${kind}`, place, 0));
  };

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

  /** Changes a session, as the platform does, so many seconds ago. The sweep for changes goes on before that. */
  const change = async (kind: SessionKind, id: SessionId, secondsAgo: number): Promise<Date> => {
    const at = new Date(Date.now() - secondsAgo * 1_000);
    await own(`${kind}_sessions`)
      .where({ id: toBinary(id) })
      .update({ status: 'Kyc Expired', updated_at: at });
    await goBackTo(kind, at);
    return at;
  };

  const toldOf = async (tenant: Tenant): Promise<SessionEvent[]> =>
    (await listEvents(harness, tenant, { pageSize: 500 })).events.filter(
      ({ type }) => type === SessionEventType.SESSION_EVENT_TYPE_SOURCE_CHANGED,
    );

  /** Which changes a tenant was told of when all events until now have their numbers. */
  const toldByNow = async (tenant: Tenant): Promise<SessionEvent[]> => {
    const last = await copyTo(tenant, source, await createSession(own, source, 'user'));
    await eventually(async () =>
      (await listEvents(harness, tenant, { pageSize: 500 })).events.some(
        ({ sessionId }) => sessionId === last,
      ),
    );
    return toldOf(tenant);
  };

  for (const kind of sessionKinds) {
    it(`tell once of a ${kind} session that was changed after it was imported`, async () => {
      const original = await createSession(own, source, kind);
      const copy = await copyTo(target, source, original, kind);
      const at = await change(kind, original, 60);
      expect(await step(`changed ${kind}`)).to.equal(false);
      await step(`changed ${kind}`);
      const [, event] = await eventsOf(harness, target, 2);
      expect(event).to.deep.include({
        type: SessionEventType.SESSION_EVENT_TYPE_SOURCE_CHANGED,
        createdAt: at,
        sessionId: copy,
        sharedFromSession: original,
        otherApplicationId: source.applicationId,
      });
      await change(kind, original, 50);
      await step(`changed ${kind}`);
      await eventsOf(harness, target, 3);
      expect(await toldOf(target)).to.have.length(2);
      expect(await toldOf(source)).to.deep.equal([]);
    });
  }

  it('look at a change only when its transaction must have been committed', async () => {
    const original = await createSession(own, source, 'user');
    await copyTo(target, source, original);
    await change('user', original, 1);
    await step('changed user');
    // What comes later would tell of it.
    const other = await createSession(own, source, 'user');
    await copyTo(target, source, other);
    await eventsOf(harness, target, 2);
    expect(await toldOf(target)).to.deep.equal([]);
    await change('user', original, 31);
    await step('changed user');
    await eventsOf(harness, target, 3);
    expect(await toldOf(target)).to.have.length(1);
  });

  it('do not tell of an import, a copy that was erased, or a change before the import', async () => {
    const [first, second] = [
      await createSession(own, source, 'user'),
      await createSession(own, source, 'user'),
    ];
    const erased = await copyTo(target, source, first);
    await change('user', second, 60);
    await copyTo(target, source, second);
    await erase(harness, target, erased);
    await change('user', first, 60);
    await step('changed user');
    await round('missed');
    expect(await toldByNow(target)).to.deep.equal([]);
  });

  it('do not tell of changes after a withdrawal that has ended the sharing', async () => {
    const original = await createSession(own, source, 'user');
    await copyTo(target, source, original);
    await withdraw(harness, source, original);
    await eventsOf(harness, target, 2);
    await change('user', original, 60);
    await step('changed user');
    await round('missed');
    expect(await toldByNow(target)).to.deep.equal([]);
  });

  it('tell of changes to a copy whose source was corrected, before its application has answered', async () => {
    const third = await createTenant(own);
    const original = await createSession(own, source, 'user');
    const copy = await copyTo(target, source, original);
    await copyTo(third, target, copy);
    await withdraw(harness, source, original, WithdrawalReason.WITHDRAWAL_REASON_RECTIFIED);
    await eventsOf(harness, third, 2);
    await change('user', copy, 60);
    await step('changed user');
    expect(await toldByNow(third)).to.have.length(1);
  });

  it('begin now, and miss nothing that comes after that', async () => {
    await write(db, storeSweep('changed user', null, 0));
    expect(await step('changed user')).to.equal(false);
    const [moment] = JSON.parse((await placeOf('changed user')) ?? '[]') as string[];
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
    await Promise.all([step('gone'), step('gone'), step('gone')]);
    await step('gone');
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
    await step('gone');
    expect(await placeOf('gone')).to.equal(null);
    // A source whose erasure was told is not told again.
    await erase(harness, source, originals[0] ?? '');
    await own('user_sessions')
      .where({ id: toBinary(originals[0] ?? source.applicationId) })
      .delete();
    await step('gone');
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
    expect(await step('changed user', 2)).to.equal(true);
    await eventsOf(harness, target, 3);
    expect((await toldOf(target)).map((event) => event.sharedFromSession)).to.deep.equal([first]);
    while (await step('changed user', 2));
    await eventsOf(harness, target, 4);
    expect(await toldOf(target)).to.have.length(2);

    await own('user_sessions').whereIn('id', originals.map(toBinary)).delete();
    expect(await step('gone', 2)).to.equal(true);
    expect(await withdrawalsOf(harness, third, 'recipient')).to.have.length(1);
    expect(await step('gone', 2)).to.equal(false);
    for (const tenant of [target, third])
      expect(await withdrawalsOf(harness, tenant, 'recipient')).to.have.length(2);
  });

  it('end a step after enough copies also if nobody has to be told', async () => {
    const originals = [
      await createSession(own, source, 'user'),
      await createSession(own, source, 'user'),
    ];
    for (const [index, original] of originals.entries()) {
      await change('user', original, 60 - index);
      await copyTo(target, source, original);
    }
    await goBackTo('user', new Date(Date.now() - 90_000));
    expect(await step('changed user', 1)).to.equal(true);
    while (await step('changed user', 1));
    expect(await toldByNow(target)).to.deep.equal([]);
  });

  it('find a change that is committed long after its time, and tell of it once', async () => {
    const original = await createSession(own, source, 'user');
    const copy = await copyTo(target, source, original);
    const at = new Date(Date.now() - 60_000);
    const late = await own.transaction();
    await late('user_sessions')
      .where({ id: toBinary(original) })
      .update({ status: 'Kyc Expired', updated_at: at });
    await goBackTo('user', at);
    await step('changed user');
    await round('missed');
    expect(await toldByNow(target)).to.deep.equal([]);
    // Now it is behind the sweep for changes, and before the import.
    await write(db, storeSweep('changed user', null, 0));
    await step('changed user');
    await late.commit();
    await step('changed user');
    expect(await toldByNow(target)).to.deep.equal([]);
    await round('missed');
    const [event, ...others] = await toldByNow(target);
    expect(event).to.include({ sessionId: copy, sharedFromSession: original });
    expect(event?.createdAt).to.deep.equal(at);
    expect(others).to.deep.equal([]);
    await round('missed');
    await goBackTo('user', at);
    await step('changed user');
    expect(await toldByNow(target)).to.have.length(1);
  });

  it('find a change of a microsecond, also one back in time', async () => {
    const original = await createSession(own, source, 'user');
    await copyTo(target, source, original);
    for (const [told, microseconds] of [1, -1].entries()) {
      await own.raw(
        'UPDATE user_sessions SET updated_at = updated_at + INTERVAL ? MICROSECOND WHERE id = ?',
        [microseconds, toBinary(original)],
      );
      await round('missed');
      expect(await toldByNow(target)).to.have.length(told + 1);
    }
  });

  it('do not tell of a change that an import has waited for', async () => {
    const original = await createSession(own, source, 'user');
    const late = await own.transaction();
    await late('user_sessions')
      .where({ id: toBinary(original) })
      .update({ updated_at: new Date(Date.now() - 60_000) });
    const before = harness.logLines.length;
    const importing = copyTo(target, source, original);
    await harness.logged(() =>
      harness.logLines.slice(before).some((line) => line.includes('"locked":1')),
    );
    await late.commit();
    await importing;
    await goBackTo('user', new Date(Date.now() - 90_000));
    await step('changed user');
    await round('missed');
    expect(await toldByNow(target)).to.deep.equal([]);
  });

  it('tell of a copy that was changed those who have imported the copy', async () => {
    const third = await createTenant(own);
    const original = await createSession(own, source, 'user');
    const copy = await copyTo(target, source, original);
    const further = await copyTo(third, target, copy);
    await change('user', original, 60);
    await step('changed user');
    expect(await toldByNow(target)).to.have.length(1);
    expect(await toldByNow(third)).to.deep.equal([]);
    await change('user', copy, 60);
    await round('missed');
    const [event, ...others] = await toldByNow(third);
    expect(event).to.include({ sessionId: further, sharedFromSession: copy });
    expect(others).to.deep.equal([]);
    expect(await toldByNow(target)).to.have.length(1);
  });

  it('tell once, however many look at the same time', async () => {
    const originals = [
      await createSession(own, source, 'user'),
      await createSession(own, source, 'user'),
    ];
    const third = await createTenant(own);
    for (const original of originals)
      for (const tenant of [target, third]) await copyTo(tenant, source, original);
    for (const original of originals) await change('user', original, 60);
    await Promise.all([
      ...Array.from({ length: 4 }, () => step('changed user')),
      ...Array.from({ length: 4 }, () => round('missed')),
    ]);
    for (const tenant of [target, third]) expect(await toldByNow(tenant)).to.have.length(2);
  });

  it('wait for each other before they tell, and then look again', async () => {
    const original = await createSession(own, source, 'user');
    await copyTo(target, source, original);
    await change('user', original, 60);
    const proxy = await MysqlProxy.open(url);
    const slow = openMultiDatabase({ url: proxy.url, poolSize: 1, lockWaitSeconds: 10 });
    try {
      const held = proxy.holdBack(
        /^SELECT place FROM source_sweeps FORCE INDEX \(PRIMARY\) WHERE name = .* FOR UPDATE$/,
      );
      await write(db, storeSweep('missed', null, 0));
      const missed = step('missed', undefined, slow);
      await held.came;
      await step('changed user');
      held.letGo();
      await missed;
      expect(await toldByNow(target)).to.have.length(1);
    } finally {
      await slow.destroy();
      proxy.close();
    }
  });

  it('go on when they are killed at any statement, and tell once', async () => {
    const proxy = await MysqlProxy.open(url);
    const mortal = openMultiDatabase({ url: proxy.url, poolSize: 1, lockWaitSeconds: 10 });
    try {
      for (const name of ['changed user', 'missed'] as const) {
        const original = await createSession(own, source, 'user');
        const tenant = await createTenant(own);
        await copyTo(tenant, source, original);
        await round('missed');
        const at = await change('user', original, 60);
        const again = async () => {
          await goBackTo('user', at);
          await write(db, storeSweep('missed', null, 0));
        };
        for (const statement of [
          'SELECT place FROM source_sweeps',
          'AS version',
          'UPDATE session_imports',
          'UPDATE source_sweeps',
        ]) {
          await again();
          const held = proxy.holdBack(statement);
          const sweeping = step(name, undefined, mortal).catch((error: unknown) => error);
          const { connectionId } = await held.came;
          await own.raw(`KILL ${connectionId}`);
          held.letGo();
          expect(await sweeping, statement).to.be.instanceOf(Error);
        }
        expect(await toldByNow(tenant)).to.deep.equal([]);
        await again();
        const held = proxy.holdBack(/^COMMIT/);
        const last = step(name, undefined, mortal).catch((error: unknown) => error);
        const commit = await held.came;
        await commit.answered();
        commit.cut();
        held.letGo();
        expect(await last).to.be.instanceOf(Error);
        // It was committed, although nobody knows.
        await again();
        await step(name);
        expect(await toldByNow(tenant)).to.have.length(1);
      }
    } finally {
      await mortal.destroy();
      proxy.close();
    }
  });

  describe('when an import is of an older service', () => {
    let original: SessionId;
    let at: Date;
    const importedBefore = async (seconds: number) => {
      original = await createSession(own, source, 'user');
      const copy = await copyTo(target, source, original);
      at = await change('user', original, 60);
      await own('session_imports')
        .where({ session_id: toBinary(copy) })
        .update({
          source_updated_at: null,
          created_at: new Date(at.getTime() - seconds * 1_000),
        });
    };

    /** From the first look on, the entry says what its application knows. */
    const expectVersionKnown = async () => {
      const told = await toldByNow(target);
      await own('user_sessions')
        .where({ id: toBinary(original) })
        .update({ updated_at: new Date(at.getTime() - 10_000) });
      await round('missed');
      expect(await toldByNow(target)).to.have.length(told.length + 1);
    };

    it('tell of a change after it', async () => {
      await importedBefore(1);
      // The sweep for changes has not come to it yet.
      await round('missed');
      expect(await toldByNow(target)).to.deep.equal([]);
      await step('changed user');
      expect(await toldByNow(target)).to.have.length(1);
      await expectVersionKnown();
    });

    it('do not tell of a change before it', async () => {
      await importedBefore(-1);
      await step('changed user');
      expect(await toldByNow(target)).to.deep.equal([]);
      await expectVersionKnown();
    });

    it('do not tell of a change before the first sweep', async () => {
      await importedBefore(1);
      await write(db, storeSweep('changed user', null, 0));
      await step('changed user');
      await round('missed');
      expect(await toldByNow(target)).to.deep.equal([]);
      await expectVersionKnown();
    });
  });

  it('go on behind a source that was changed at no valid date, which can be imported', async () => {
    for (const invalid of ['0000-00-00', '2026-00-10', '2026-02-31']) {
      const [bad, good] = [
        await createSession(own, source, 'user'),
        await createSession(own, source, 'user'),
      ];
      const tenant = await createTenant(own);
      for (const session of [bad, good]) await copyTo(tenant, source, session);
      const at = await change('user', good, 60);
      await own.transaction(async (platform) => {
        await platform.raw("SET @mode = @@sql_mode, SESSION sql_mode = 'ALLOW_INVALID_DATES'");
        await platform.raw('UPDATE user_sessions SET updated_at = ? WHERE id = ?', [
          invalid,
          toBinary(bad),
        ]);
        await platform.raw('SET SESSION sql_mode = @mode');
      });
      await write(db, storeSweep('changed user', ['2000-01-01', source.applicationId], 0));
      await step('changed user');
      await round('missed');
      const told = await toldByNow(tenant);
      expect(told.map((event) => event.sharedFromSession)).to.deep.equal([good]);
      await copyTo(await createTenant(own), source, bad);
      await own('user_sessions')
        .where({ id: toBinary(bad) })
        .update({ updated_at: at });
      await round('missed');
      expect(await toldByNow(tenant)).to.have.length(2);
    }
  });

  for (const name of ['changed user', 'missed'] as const) {
    it(`do not wait for a copy whose entry somebody holds (${name}), and come to it again`, async () => {
      const originals = [
        await createSession(own, source, 'user'),
        await createSession(own, source, 'user'),
      ];
      for (const original of originals) await copyTo(target, source, original);
      const [locked, free] = originals as [SessionId, SessionId];
      for (const original of originals) await change('user', original, 60);
      await own.transaction(async (held) => {
        await held('session_imports')
          .where({
            application_id: toBinary(target.applicationId),
            source_session_id: toBinary(locked),
          })
          .forUpdate();
        if (name === 'changed user') await step(name);
        else await round(name);
      });
      const told = await toldByNow(target);
      expect(told.map((event) => event.sharedFromSession)).to.deep.equal([free]);
      await round('missed');
      expect(await toldByNow(target)).to.have.length(2);
    });
  }

  for (const sweep of sweeps) {
    it(`take a step (${sweep.name}) in each pause, however many processes there are`, async () => {
      const steps: unknown[] = [];
      const counted = {
        name: sweep.name,
        step: () => {
          steps.push(undefined);
          return Promise.resolve({ place: null, more: steps.length < 3 });
        },
      };
      await write(db, storeSweep(sweep.name, null, 0));
      const all = Array.from({ length: 4 }, async () => {
        while (await takeStep(db, counted, 600_000));
      });
      await Promise.all(all);
      // What can be done at once does not wait.
      while (await takeStep(db, counted, 600_000));
      expect(steps).to.have.length(3);
      // The server's clock is set back, or the pause is shorter now.
      await takeStep(db, counted, 1_000);
      expect(steps).to.have.length(4);
      await own('source_sweeps')
        .where({ name: sweep.name })
        .update({ next_at: own.raw('UTC_TIMESTAMP(6)') });
      await takeStep(db, counted, 600_000);
      expect(steps).to.have.length(5);
    });
  }

  it('begin again when a restored database has lost their rows', async () => {
    await own('source_sweeps').delete();
    for (const { name } of sweeps) await step(name);
    const names = await own('source_sweeps').select<{ readonly name: string }[]>('name');
    expect(names.map(({ name }) => name)).to.have.members(sweeps.map(({ name }) => name));
  });

  it('are run by the service, and one that fails does not stop the others', async () => {
    const failing = must(sweeps[0], 'a sweep').name;
    await own.raw(
      `CREATE TRIGGER sweep_fails BEFORE UPDATE ON source_sweeps FOR EACH ROW
       BEGIN IF NEW.name = '${failing}' THEN SIGNAL SQLSTATE '45000'; END IF; END`,
    );
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
      await serving.logged(() => serving.logLines.some((line) => line.includes(`(${failing})`)));
    } finally {
      await own.raw('DROP TRIGGER sweep_fails');
      await serving.stop();
    }
  });
});
