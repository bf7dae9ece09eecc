import { expect } from 'chai';
import { toBinary, toId, type SessionId } from '../../src/model/ids';
import type { Database } from '../../src/db/database';
import { sessionOf } from '../support/client';
import { createSession, createTenant } from '../support/fixtures';
import { pause } from '../support/helpers';
import { relationRows, select } from '../support/rows';
import { startHarness, type Harness } from '../support/service';

const imports = 60;

describe('a copy made while somebody changes the original', () => {
  let harness: Harness;
  before(async () => {
    harness = await startHarness();
  });
  after(() => harness.stop());

  it('is one version of it, and never a mix of two', async () => {
    const { db, source, signer, client } = harness;
    const original = await createSession(db, source, 'user');
    await insertVersion(db, original);
    const stop = new AbortController();
    let versions = 0;
    const writer = (async () => {
      while (!stop.signal.aborted) await writeVersion(db, original, ++versions);
    })();

    const seen = new Set<string>();
    for (let done = 0; done < imports; done += 4) {
      await Promise.all(
        Array.from({ length: 4 }, async () => {
          const tenant = await createTenant(db);
          const answer = await client.import(tenant.apiKey, {
            shareToken: await signer.share(source, tenant, 'user', original),
            workflowId: tenant.workflows.user,
          });
          const found = await versionsOf(toId<SessionId>(sessionOf(answer).sessionId));
          expect(new Set(found), found.join(', ')).to.have.length(1);
          seen.add(found[0] ?? '');
        }),
      );
    }
    stop.abort();
    await writer;
    expect(versions).to.be.greaterThan(20);
    expect(seen.size).to.be.greaterThan(5);
  });

  it('is whole, also when the original is deleted in the middle of the import', async () => {
    const { db, source, signer, client } = harness;
    const endings = new Set<string>();
    const runs = 40;
    // How long an import takes on this machine, as far as it is known by now.
    let usual = 20;
    for (let run = 0; run < runs; run++) {
      const original = await createSession(db, source, 'user');
      await insertVersion(db, original);
      const tenant = await createTenant(db);
      const request = {
        shareToken: await signer.share(source, tenant, 'user', original),
        workflowId: tenant.workflows.user,
      };
      const begun = performance.now();
      const [answer] = await Promise.all([
        client
          .import(tenant.apiKey, request)
          .catch(() => undefined)
          .finally(() => (usual = Math.max(usual, performance.now() - begun))),
        // Now before the import, now in the middle of it, now after it.
        pause((1.5 * usual * run) / runs).then(() =>
          db('user_sessions')
            .where({ id: toBinary(original) })
            .delete(),
        ),
      ]);
      const copies = await select('SELECT id FROM user_sessions WHERE shared_from_session_id = ?', [
        toBinary(original),
      ]);
      expect(copies).to.have.length(answer ? 1 : 0);
      endings.add(answer ? 'copied' : 'refused');
      if (answer) {
        expect(await versionsOf(toId(sessionOf(answer).sessionId))).to.have.length(3);
      }
    }
    expect([...endings].toSorted()).to.deep.equal(['copied', 'refused']);
  });
});

/** The relations that the writer changes, and a column of each that tells the version. */
const versioned = [
  ['user_id_verifications', 'document_number'],
  ['user_email_verifications', 'email'],
  ['user_reviews', 'actor'],
] as const;

async function insertVersion(db: Database, id: SessionId): Promise<void> {
  const now = new Date();
  for (const [table, column] of versioned) {
    await db(table).insert({
      session_id: toBinary(id),
      ordinal: 0,
      [column]: '0',
      status: 'Approved',
      created_at: now,
      updated_at: now,
      ...(table === 'user_email_verifications' ? { verification_attempts: 1 } : {}),
    });
  }
}

/** Changes the relations as the rules for writers say: under the session's row lock. */
async function writeVersion(db: Database, id: SessionId, version: number): Promise<void> {
  await db.transaction(async (trx) => {
    await trx('user_sessions')
      .where({ id: toBinary(id) })
      .forUpdate();
    for (const [table, column] of versioned) {
      await trx(table)
        .where({ session_id: toBinary(id) })
        .update({ [column]: String(version) });
    }
  });
}

async function versionsOf(id: SessionId): Promise<string[]> {
  const rows = await relationRows('user', id);
  return versioned.flatMap(([table, column]) =>
    (rows[table] ?? []).map((row) => String(row[column])),
  );
}
