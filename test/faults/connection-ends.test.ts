import { expect } from 'chai';
import { toBinary, type ConnectionId, type SessionId } from '../../src/model/ids';
import { sessionKinds } from '../../src/model/session';
import type { ImportSessionRequest } from '../../src/gen/sessionimport/v1/session_import';
import { copiesIn, createCompany } from '../support/companies';
import { refusal, requestFor } from '../support/connected-imports';
import { connect, disconnect } from '../support/connections';
import { createSession, createTenant } from '../support/fixtures';
import { rowLockWaits, select } from '../support/rows';
import { startHarness, startProxiedHarness } from '../support/service';

describe('the end of a connection', () => {
  for (const kind of sessionKinds) {
    it(`holds at once for imports of ${kind} sessions, in 40 races`, async () => {
      const harness = await startHarness({ environment: { REQUIRE_CONNECTIONS: 'true' } });
      const { db, source, client } = harness;
      const seen = { imported: 0, refused: 0 };
      for (let round = 0; round < 40; round++) {
        const target = await createTenant(db);
        const connectionId = await connect(client, source, target);
        const requests = await Promise.all(
          Array.from({ length: 4 }, async () =>
            requestFor(harness, target, kind, await createSession(db, source, kind)),
          ),
        );
        const count = async () => {
          const [found] = await select(
            'SELECT COUNT(*) AS n FROM session_imports WHERE connection_id = ?',
            [toBinary(connectionId)],
          );
          return Number(found?.['n']);
        };
        const importing = (request: Partial<ImportSessionRequest>) =>
          refusal(client.import(target.apiKey, request));
        // Some begin before the end, and some after it.
        const early = requests.slice(0, round % 4).map(importing);
        if (round % 3 === 0) await early[0];
        const ending = disconnect(client, source, connectionId);
        const late = round % 2 === 0 ? requests.slice(round % 4).map(importing) : [];
        await ending;
        const atTheEnd = await count();
        const after = round % 2 === 0 ? [] : requests.slice(round % 4).map(importing);
        const results = await Promise.all([...early, ...late, ...after]);
        expect(await count(), 'imports after the end').to.equal(atTheEnd);
        expect(results.filter((result) => result === undefined).length).to.equal(atTheEnd);
        for (const result of results) {
          if (result !== undefined) expect(result).to.equal('CONNECTION_NOT_ACTIVE');
          seen[result === undefined ? 'imported' : 'refused']++;
        }
      }
      expect(seen.imported, 'imports before the end').to.be.above(0);
      expect(seen.refused, 'imports after the end').to.be.above(0);
      await harness.stop();
    });
  }

  it('comes before an import that was allowed and has not been committed: nothing is imported', async () => {
    const harness = await startProxiedHarness({ REQUIRE_CONNECTIONS: 'true' });
    const { db, source, target, client, proxy } = harness;
    const connectionId = await connect(client, source, target);
    const original = await createSession(db, source, 'user');
    const { came, letGo } = proxy.holdBack('INSERT INTO session_imports');
    const call = refusal(
      client.import(target.apiKey, await requestFor(harness, target, 'user', original)),
    );
    await came;
    await disconnect(client, source, connectionId);
    letGo();
    expect(await call).to.equal('CONNECTION_NOT_ACTIVE');
    expect(await copiesIn(target, original)).to.deep.equal([]);
    await harness.stop();
  });

  it('writes the same row as an import, and waits for one that is being committed', async () => {
    const harness = await startProxiedHarness({ REQUIRE_CONNECTIONS: 'true' });
    const { db, source, target, client, proxy } = harness;
    const connectionId = await connect(client, source, target);
    const importing = async (id: SessionId) =>
      refusal(client.import(target.apiKey, await requestFor(harness, target, 'user', id)));
    // So that the next COMMIT is that of the import, and not that of its number.
    await importing(await createSession(db, source, 'user'));
    const original = await createSession(db, source, 'user');
    const { came, letGo } = proxy.holdBack(/^COMMIT/i);
    const call = importing(original);
    await came;
    const ended = disconnect(client, source, connectionId);
    await rowLockWaits();
    letGo();
    expect(await call).to.equal(undefined);
    await ended;
    expect((await copiesIn(target, original)).length).to.equal(1);
    await harness.stop();
  });

  it('makes an import that waits for a person be judged again', async () => {
    const harness = await startProxiedHarness({
      REQUIRE_CONNECTIONS: 'true',
      DATABASE_LOCK_WAIT: '20',
      DATABASE_SILENCE: '60',
    });
    const { db, source, target, client } = harness;
    const connectionId = await connect(client, source, target);
    const person = await createSession(db, source, 'user');
    const company = await createCompany(db, source, [person]);
    const writer = await db.transaction();
    await writer('user_sessions')
      .where({ id: toBinary(person) })
      .forUpdate();
    const call = refusal(
      client.import(
        target.apiKey,
        await requestFor(harness, target, 'business', company, { linked: true }),
      ),
    );
    await rowLockWaits();
    await disconnect(client, source, connectionId);
    await connect(client, source, target, { linkedSessions: false });
    await writer.commit();
    expect(await call).to.equal('CONNECTION_TERMS_EXCEEDED linked_sessions');
    expect(await copiesIn(target, company)).to.deep.equal([]);
    expect(await copiesIn(target, person)).to.deep.equal([]);
    await harness.stop();
  });

  it('refuses one import of a group, and lets the others of the group be made', async () => {
    const harness = await startProxiedHarness({ REQUIRE_CONNECTIONS: 'true', IMPORT_WORKERS: '1' });
    const { db, source, client, proxy } = harness;
    const targets = await Promise.all(Array.from({ length: 6 }, () => createTenant(db)));
    const connections = await Promise.all(targets.map((target) => connect(client, source, target)));
    const originals = await Promise.all(targets.map(() => createSession(db, source, 'user')));
    const requests = await Promise.all(
      targets.map((target, index) =>
        requestFor(harness, target, 'user', originals[index] as SessionId),
      ),
    );
    const first = proxy.holdBack('LOCK IN SHARE MODE');
    const warm = client.import(
      harness.target.apiKey,
      await requestFor(harness, harness.target, 'user', await createSession(db, source, 'user')),
    );
    await first.came;
    const calls = targets.map((target, index) =>
      refusal(client.import(target.apiKey, requests[index] ?? {})),
    );
    await harness.queued(6);
    const group = proxy.holdBack('INSERT INTO session_imports');
    first.letGo();
    await warm.catch(() => undefined);
    await group.came;
    await disconnect(client, source, connections[2] as ConnectionId);
    group.letGo();
    const expected = targets.map((_, index) => (index === 2 ? 'CONNECTION_NOT_ACTIVE' : undefined));
    expect(await Promise.all(calls)).to.deep.equal(expected);
    for (const [index, target] of targets.entries()) {
      expect((await copiesIn(target, originals[index] as SessionId)).length).to.equal(
        index === 2 ? 0 : 1,
      );
    }
    await harness.stop();
  });
});
