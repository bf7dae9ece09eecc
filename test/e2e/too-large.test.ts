import { expect } from 'chai';
import { toBinary, type SessionId } from '../../src/model/ids';
import { endings } from '../support/client';
import { createCompany, requestWithLinked } from '../support/companies';
import {
  addLogs,
  createSession,
  createSessionWithLogs,
  createSessions,
  createTenant,
  type Tenant,
} from '../support/fixtures';
import { select } from '../support/rows';
import { setServer } from '../support/server-settings';
import { startProxiedHarness, type ProxiedHarness } from '../support/service';

/** What a server of these tests takes in one transaction, in bytes. */
const limit = 2 ** 20;

describe('a session that is larger than the database takes at once', () => {
  let harness: ProxiedHarness;
  let tidyUp = (): Promise<void> => Promise.resolve();
  before(async function () {
    // A server that others use as well is left as it is.
    if (process.env['DATABASE_URL']) this.skip();
    const restore = await setServer({ max_binlog_cache_size: limit });
    harness = await startProxiedHarness({ IMPORT_WORKERS: '1', IMPORT_GROUP_ROWS: '400' });
    tidyUp = async () => {
      await harness.stop();
      await restore();
    };
  });
  after(() => tidyUp());

  /** Makes a session with rows of these sizes, in bytes. */
  const createRows = (sizes: readonly number[], source = harness.source): Promise<SessionId> =>
    createSessionWithLogs(harness.db, source, sizes);

  /** Makes a session that has so many bytes in four rows. */
  const createLarge = (bytes: number): Promise<SessionId> =>
    createRows(Array.from({ length: 4 }, () => bytes / 4));

  /** Prepares an import, and returns what calls it. */
  async function importOf(
    original: SessionId,
    source: Tenant = harness.source,
  ): Promise<() => Promise<object>> {
    const { signer, target, client } = harness;
    const shareToken = await signer.share(source, target, 'user', original);
    return () => client.import(target.apiKey, { shareToken, workflowId: target.workflows.user });
  }

  it('is refused on record and leaves nothing, and the calls of its group are carried out', async () => {
    const { db, source, proxy } = harness;
    const others = await createTenant(db);
    // After a usual session, hardly any session of the same applications is measured.
    const first = await importOf(await createSession(db, source, 'user'));
    const large = await createLarge(2 * limit);
    const group = [await importOf(large)];
    for (let calls = 0; calls < 3; calls++) {
      group.push(await importOf(await createSession(db, others, 'user'), others));
    }
    // The first call holds up the only worker, so that the others are one group.
    const { came, letGo } = proxy.holdBack('LOCK IN SHARE MODE');
    const answers = [first()];
    await came;
    answers.push(...group.map((call) => call()));
    await harness.queued(group.length);
    letGo();
    expect(await endings(answers)).to.deep.equal(['OK', 'SESSION_TOO_LARGE', 'OK', 'OK', 'OK']);

    const about = [toBinary(large)];
    expect(
      await select('SELECT reason FROM import_refusals WHERE source_session_id = ?', about),
    ).to.deep.equal([{ reason: 'SESSION_TOO_LARGE' }]);
    for (const written of [
      'SELECT id FROM user_sessions WHERE shared_from_session_id = ?',
      'SELECT 1 FROM session_imports WHERE source_session_id = ?',
    ]) {
      expect(await select(written, about), written).to.deep.equal([]);
    }
  });

  it('is kept out of the groups of others from then on', async () => {
    const { logLines } = harness;
    const groups = () => logLines.filter((line) => line.includes('"msg":"group"')).length;
    const large = await importOf(await createLarge(2 * limit));
    const before = groups();
    expect(await endings([large()])).to.deep.equal(['SESSION_TOO_LARGE']);
    // The first one has postponed it.
    expect(groups() - before).to.equal(2);
    const fits = await importOf(await createLarge(limit / 2));
    expect(await endings([fits()])).to.deep.equal(['OK']);
  });

  it('is imported all the same if only its last row exceeds the limit, also if it was measured', async () => {
    for (const sizes of [[limit + 40_000], [400_000, 400_000, 290_000], [100_000, 2 * limit]]) {
      // The first session of two applications is measured.
      const source = await createTenant(harness.db);
      const call = await importOf(await createRows(sizes, source), source);
      expect(await endings([call()]), sizes.join()).to.deep.equal(['OK']);
    }
  });

  it('has that said last, if the import is refused for other reasons, too', async () => {
    const { db, signer, target, client } = harness;
    // The first session of two applications is measured.
    const source = await createTenant(db);
    const company = await createCompany(db, source, await createSessions(db, source, 'user', 501));
    await addLogs(db, 'business', company, 4);
    for (let ordinal = 0; ordinal < 4; ordinal++) {
      await db('business_logs')
        .where({ session_id: toBinary(company), ordinal })
        .update({ additional_data: JSON.stringify('x'.repeat(limit / 2)) });
    }
    const request = await requestWithLinked({ signer, source, target }, company);
    const importing = (some: object): Promise<object> =>
      client.import(target.apiKey, { ...request, ...some });
    expect(await endings([importing({})])).to.deep.equal(['TOO_MANY_LINKED_SESSIONS']);
    const alone = { includeLinkedSessions: false, linkedWorkflowId: undefined };
    expect(await endings([importing(alone)])).to.deep.equal(['SESSION_TOO_LARGE']);
  });

  it('is not even begun to be written if its values alone are too large', async () => {
    const { db, source, proxy } = harness;
    const many = await createSession(db, source, 'user');
    await addLogs(db, 'user', many, 4_000);
    for (let first = 0; first < 4_000; first += 1_000) {
      await db('user_logs')
        .where({ session_id: toBinary(many) })
        .whereBetween('ordinal', [first, first + 999])
        .update({ additional_data: JSON.stringify('x'.repeat(200)) });
    }
    for (const [session, written] of [
      [await createLarge(2 * limit), 0],
      // Its values are smaller, but not its rows: only the server knows that.
      [many, 1],
    ] as const) {
      const call = await importOf(session);
      let copies = 0;
      proxy.intercept = ({ sql }) => {
        if (sql.includes('INTO `user_logs`')) copies++;
      };
      expect(await endings([call()])).to.deep.equal(['SESSION_TOO_LARGE']);
      proxy.intercept = undefined;
      expect(copies).to.equal(written);
    }
  });
});
