import { expect } from 'chai';
import { openMultiDatabase } from '../../src/db/connection';
import type { MultiDatabase } from '../../src/db/database';
import { WithdrawalOutcome } from '../../src/gen/sessionimport/v1/session_share';
import {
  fromBinary,
  newId,
  toBinary,
  toId,
  type SessionId,
  type WithdrawalId,
} from '../../src/model/ids';
import { must } from '../../src/model/must';
import type { WithdrawalReason } from '../../src/model/withdrawals';
import { WithdrawalWalker } from '../../src/withdrawals/walker';
import { tellCopy, withdrawSession } from '../../src/store/withdrawals/withdraw';
import { createLogger } from '../../src/telemetry/log';
import { failureOf, sessionOf } from '../support/client';
import { createSession, createTenant, type Tenant } from '../support/fixtures';
import { databaseUrl, serviceUrl } from '../support/mysql';
import { MysqlProxy } from '../support/mysql-proxy';
import { startHarness, writingNothing, type Harness } from '../support/service';
import { acknowledge } from '../support/withdrawals';

describe('what tells of a withdrawal', () => {
  let harness: Harness;
  let db: MultiDatabase;
  before(async () => {
    harness = await startHarness({ environment: writingNothing });
    db = openMultiDatabase({ url: serviceUrl(), poolSize: 4, lockWaitSeconds: 10 });
  });
  after(async () => {
    await db.destroy();
    await harness.stop();
  });

  /** A session with a copy, and a copy of that, withdrawn without anybody having been told. */
  const chain = async (reason: WithdrawalReason = 'consent_withdrawn') => {
    const tenants = [harness.source, harness.target, await createTenant(harness.db)];
    const sessions = [await createSession(harness.db, harness.source, 'user')];
    for (const [index, to] of tenants.slice(1).entries()) {
      const from = must(tenants[index], 'a tenant');
      const session = must(sessions[index], 'a session');
      const answer = await harness.client.import(to.apiKey, {
        shareToken: await harness.signer.share(from, to, 'user', session),
        workflowId: to.workflows.user,
      });
      sessions.push(toId(sessionOf(answer).sessionId));
    }
    const [original, ofTarget, ofThird] = sessions as [SessionId, SessionId, SessionId];
    const id = newId<WithdrawalId>();
    const withdrawal = {
      ...({ id, sessionId: original, kind: 'user', reason, actor: null } as const),
      applicationId: harness.source.applicationId,
    };
    await withdrawSession(db, withdrawal, () => new Date());
    return { id, original, ofTarget, ofThird };
  };

  /** How often the outbox tells of the copy that its source was withdrawn. */
  const toldOf = async (copy: SessionId): Promise<number> => {
    const rows = await harness
      .db('event_outbox')
      .where('events', 'like', `%source_withdrawn%${copy}%`);
    return rows.length;
  };

  const waitingOf = async (id: WithdrawalId): Promise<SessionId[]> => {
    const rows = await harness
      .db('session_withdrawals')
      .where({ withdrawal_id: toBinary(id) })
      .whereNull('told_at')
      .select<{ readonly session_id: Buffer }[]>('session_id');
    return rows.map((row) => fromBinary(row.session_id));
  };

  /** @param pause until a copy that could not be told is tried again, in milliseconds. */
  const walkerOn = (database: MultiDatabase, pause?: number) => {
    const lines: string[] = [];
    const log = createLogger(
      { level: 'info', format: 'json' },
      { write: (line) => lines.push(line) },
    );
    return { walker: new WithdrawalWalker(database, () => new Date(), log, pause), lines };
  };

  /** Runs something while a copy waits of the application that is the last in the order of turns. */
  const withLastInLine = async (work: (isTold: () => Promise<boolean>) => Promise<void>) => {
    const last = 'ffffffff-ffff-7fff-bfff-ffffffffffff' as WithdrawalId;
    const row = () => harness.db('session_withdrawals').where({ withdrawal_id: toBinary(last) });
    await harness.db('session_withdrawals').insert({
      ...{ withdrawal_id: toBinary(last), session_id: toBinary(newId()) },
      ...{ application_id: toBinary(newId()), session_kind: 'user', reason: 'erased' },
      ...{ withdrawn_at: new Date(), parent_session_id: toBinary(newId()) },
      parent_application_id: toBinary(last),
    });
    try {
      await work(async () => (await row().whereNotNull('told_at')).length === 1);
    } finally {
      await row().delete();
    }
  };

  it('goes on when it is killed at any statement, and tells each copy once', async () => {
    const proxy = await MysqlProxy.open(databaseUrl());
    const mortal = openMultiDatabase({ url: proxy.url, poolSize: 1, lockWaitSeconds: 10 });
    try {
      const { id, ofTarget, ofThird } = await chain();
      const waiting = { withdrawalId: id, sessionId: ofTarget, kind: 'user' } as const;
      for (const statement of [
        'vendor_entity_id, erased_at',
        'FROM session_withdrawals FORCE INDEX (PRIMARY)',
        'FROM session_imports',
        'INSERT INTO session_withdrawals',
        'UPDATE session_withdrawals SET told_at',
      ]) {
        const held = proxy.holdBack(statement);
        const telling = tellCopy(mortal, waiting, () => new Date()).catch(
          (error: unknown) => error,
        );
        const { connectionId } = await held.came;
        await harness.db.raw(`KILL ${connectionId}`);
        held.letGo();
        expect(await telling).to.be.instanceOf(Error);
        expect(await waitingOf(id)).to.deep.equal([ofTarget]);
        expect(await toldOf(ofTarget)).to.equal(0);
      }
      const held = proxy.holdBack(/^COMMIT/);
      const last = tellCopy(mortal, waiting, () => new Date()).catch((error: unknown) => error);
      const commit = await held.came;
      await commit.answered();
      commit.cut();
      held.letGo();
      expect(await last).to.be.instanceOf(Error);
      // It was committed, although nobody knows: to tell it again does nothing.
      await tellCopy(db, waiting, () => new Date());
      expect(await toldOf(ofTarget)).to.equal(1);
      expect(await waitingOf(id)).to.deep.equal([ofThird]);
    } finally {
      await mortal.destroy();
      proxy.close();
    }
  });

  it('by many at once tells each copy once', async () => {
    const { id, ofTarget, ofThird } = await chain();
    for (const sessionId of [ofTarget, ofThird]) {
      const waiting = { withdrawalId: id, sessionId, kind: 'user' } as const;
      await Promise.all(Array.from({ length: 8 }, () => tellCopy(db, waiting, () => new Date())));
      expect(await toldOf(sessionId)).to.equal(1);
    }
    expect(await waitingOf(id)).to.deep.equal([]);
  });

  it('gives each application its turn, however many copies of another one wait', async () => {
    const flood = '00000000-0000-7000-8000-000000000001' as WithdrawalId;
    const [application, session] = [newId(), newId()];
    await harness.db('session_withdrawals').insert(
      Array.from({ length: 1_000 }, () => ({
        ...{ withdrawal_id: toBinary(flood), session_id: toBinary(newId()) },
        ...{ application_id: toBinary(application), session_kind: 'user', reason: 'erased' },
        ...{ withdrawn_at: new Date(), parent_session_id: toBinary(session) },
        parent_application_id: toBinary(flood),
      })),
    );
    const { id, ofTarget } = await chain();
    const { walker } = walkerOn(db);
    try {
      await walker.walk(new AbortController().signal);
      expect(await waitingOf(id)).not.to.include(ofTarget);
      expect(await waitingOf(flood)).not.to.deep.equal([]);
    } finally {
      await harness
        .db('session_withdrawals')
        .where({ withdrawal_id: toBinary(flood) })
        .delete();
    }
  });

  it('goes on to all others if one copy fails, and tries it again after a pause', async () => {
    const [bad, good] = [await chain(), await chain()];
    const failing = toBinary(bad.ofTarget).toString('hex');
    const [patient, impatient] = [walkerOn(db, 600_000), walkerOn(db, 0)];
    const { signal } = new AbortController();
    await withLastInLine(async (isTold) => {
      await harness.db.raw(
        `CREATE TRIGGER copy_fails BEFORE UPDATE ON session_withdrawals FOR EACH ROW
         BEGIN IF NEW.session_id = X'${failing}' THEN SIGNAL SQLSTATE '45000'; END IF; END`,
      );
      try {
        expect(await patient.walker.walk(signal)).to.equal(true);
        expect(await waitingOf(good.id)).not.to.include(good.ofTarget);
        expect(await isTold()).to.equal(true);
        for (let times = 0; times < 2; times += 1) await impatient.walker.walk(signal);
      } finally {
        await harness.db.raw('DROP TRIGGER copy_fails');
      }
    });
    expect(await waitingOf(bad.id)).to.deep.equal([bad.ofTarget]);
    for (const { lines } of [patient, impatient]) {
      expect(lines).to.have.length(1);
      expect(JSON.parse(lines[0] ?? '')).to.include({
        ...{ level: 'warn', why: 'ER_SIGNAL_EXCEPTION' },
        ...{ withdrawal_id: bad.id, session_id: bad.ofTarget },
      });
    }
    await patient.walker.walk(signal);
    expect(await waitingOf(bad.id)).to.deep.equal([bad.ofTarget]);
    await impatient.walker.walk(signal);
    expect(await waitingOf(bad.id)).not.to.include(bad.ofTarget);
  });

  it('goes on to all others if the connection is lost with one copy each time, and leaves out none', async () => {
    const bad = await chain();
    const failing = toBinary(bad.ofTarget).toString('hex');
    const proxy = await MysqlProxy.open(databaseUrl());
    const broken = openMultiDatabase({ url: proxy.url, poolSize: 1, lockWaitSeconds: 10 });
    const { walker } = walkerOn(broken, 600_000);
    const { signal } = new AbortController();
    proxy.intercept = (statement) => {
      const { sql } = statement;
      if (sql.includes('FOR UPDATE') && sql.includes(failing)) statement.cut();
    };
    try {
      await withLastInLine(async (isTold) => {
        const lost: unknown = await walker.walk(signal).catch((error: unknown) => error);
        expect(lost).to.be.instanceOf(Error);
        expect(await isTold()).to.equal(false);
        await walker.walk(signal);
        expect(await isTold()).to.equal(true);
      });
      expect(await waitingOf(bad.id)).to.deep.equal([bad.ofTarget]);
      proxy.intercept = undefined;
      while (await walker.walk(signal));
      await walker.walk(signal);
      expect(await waitingOf(bad.id)).to.deep.equal([]);
    } finally {
      await broken.destroy();
      proxy.close();
    }
  });

  it('takes no answer to a correction before its application was told of it', async () => {
    const { WITHDRAWAL_OUTCOME_KEPT: kept } = WithdrawalOutcome;
    const { original, ofTarget } = await chain('rectified');
    const early = await failureOf(acknowledge(harness, harness.target, ofTarget, kept));
    expect(early.reason).to.equal('WITHDRAWAL_NOT_FOUND');
    const told = async () => {
      const [waiting] = await harness
        .db('session_withdrawals')
        .where({ session_id: toBinary(ofTarget) })
        .whereNull('told_at')
        .select<{ readonly withdrawal_id: Buffer }[]>('withdrawal_id');
      const withdrawalId = fromBinary<WithdrawalId>(must(waiting, 'a copy').withdrawal_id);
      await tellCopy(db, { withdrawalId, sessionId: ofTarget, kind: 'user' }, () => new Date());
    };
    const isStopped = async () => {
      const [copy] = await harness
        .db('user_sessions')
        .where({ id: toBinary(ofTarget) })
        .select<{ readonly withdrawn_at: Date | null }[]>('withdrawn_at');
      return copy?.withdrawn_at instanceof Date;
    };
    await told();
    expect(await isStopped()).to.equal(true);
    const again = {
      ...{ id: newId<WithdrawalId>(), sessionId: original },
      ...({ kind: 'user', reason: 'rectified', actor: null } as const),
      applicationId: harness.source.applicationId,
    };
    await withdrawSession(db, again, () => new Date());
    expect((await acknowledge(harness, harness.target, ofTarget, kept)).withdrawals).to.equal(1);
    expect(await isStopped()).to.equal(false);
    await told();
    expect(await isStopped()).to.equal(true);
    expect((await acknowledge(harness, harness.target, ofTarget, kept)).withdrawals).to.equal(2);
    expect(await isStopped()).to.equal(false);
  });

  it('leaves out a copy that somebody holds, without waiting for it', async () => {
    const { id, ofTarget } = await chain();
    const waiting = { withdrawalId: id, sessionId: ofTarget, kind: 'user' } as const;
    await harness.db.transaction(async (held) => {
      await held('user_sessions')
        .where({ id: toBinary(ofTarget) })
        .forUpdate();
      expect(await tellCopy(db, waiting, () => new Date())).to.equal(false);
    });
    expect(await tellCopy(db, waiting, () => new Date())).to.equal(true);
    expect(await toldOf(ofTarget)).to.equal(1);
  });

  it('marks a copy, so that an import of it ends before or is refused', async () => {
    const { id, ofTarget } = await chain();
    const importing = async (tenant: Tenant) =>
      harness.client.import(tenant.apiKey, {
        shareToken: await harness.signer.share(harness.target, tenant, 'user', ofTarget),
        workflowId: tenant.workflows.user,
      });
    const late = await createTenant(harness.db);
    const early = sessionOf(await importing(late)).sessionId;
    await tellCopy(db, { withdrawalId: id, sessionId: ofTarget, kind: 'user' }, () => new Date());
    expect(await waitingOf(id))
      .to.include(early)
      .and.have.length(2);
    const never = await createTenant(harness.db);
    expect(await failureOf(importing(never))).to.include({ reason: 'SOURCE_SESSION_WITHDRAWN' });
  });
});
