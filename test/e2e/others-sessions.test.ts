import { expect } from 'chai';
import { toBinary, type SessionId } from '../../src/model/ids';
import { kindSchemas } from '../../src/model/relations';
import { sessionKinds, type SessionKind } from '../../src/model/session';
import { failureOf, sessionOf } from '../support/client';
import { createCompany, requestWithLinked } from '../support/companies';
import { createSession, createTenant, type Tenant } from '../support/fixtures';
import { startHarness, type Harness } from '../support/service';

describe('the session of an application that has nothing to do with a call', () => {
  let harness: Harness;
  let other: Tenant;
  before(async () => {
    harness = await startHarness();
    other = await createTenant(harness.db);
  });
  after(() => harness.stop());

  /** Does something while the session's owner works on it, and holds its row. */
  async function whileLocked<T>(
    kind: SessionKind,
    id: SessionId,
    work: () => Promise<T>,
  ): Promise<T> {
    return harness.db.transaction(async (trx) => {
      await trx(kindSchemas[kind].sessions)
        .where({ id: toBinary(id) })
        .forUpdate();
      return work();
    });
  }

  for (const kind of sessionKinds) {
    it(`is not there for a token that names another source, also while its owner holds it (${kind})`, async () => {
      const { db, source, target, signer, client } = harness;
      const theirs = await createSession(db, other, kind);
      // The source's own key, with a session that is not the source's.
      const shareToken = await signer.share(source, target, kind, theirs);
      const call = () =>
        failureOf(client.import(target.apiKey, { shareToken, workflowId: target.workflows[kind] }));
      const free = await call();
      const held = await whileLocked(kind, theirs, call);
      expect(held).to.deep.equal(free);
      expect(held.reason).to.equal('SOURCE_SESSION_NOT_FOUND');
    });

    it(`holds up no call that is in one group with such a token (${kind})`, async () => {
      const { db, source, target, signer, client } = harness;
      const theirs = await createSession(db, other, kind);
      const own = await createSession(db, source, kind);
      const request = async (id: SessionId) => ({
        shareToken: await signer.share(source, target, kind, id),
        workflowId: target.workflows[kind],
      });
      const requests = [await request(theirs), await request(own)];
      await whileLocked(kind, theirs, async () => {
        const [refused, made] = requests.map((each) => client.import(target.apiKey, each));
        if (!refused || !made) throw new Error('there are two calls');
        expect((await failureOf(refused)).reason).to.equal('SOURCE_SESSION_NOT_FOUND');
        expect(sessionOf(await made).sharedFromSession).to.equal(own);
      });
    });
  }

  it('stays behind if a key person names it, also while its owner holds it', async () => {
    const { db, source, target, client } = harness;
    const theirs = await createSession(db, other, 'user');
    const own = await createSession(db, source, 'user');
    const company = await createCompany(db, source, [theirs, own]);
    const response = await whileLocked('user', theirs, async () =>
      client.import(target.apiKey, await requestWithLinked(harness, company)),
    );
    expect(response.linkedSessions.map(({ session }) => session?.sharedFromSession)).to.deep.equal([
      own,
    ]);
  });
});
