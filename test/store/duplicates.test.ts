import { expect } from 'chai';
import { noRules } from '../../src/model/acceptance';
import { openMultiDatabase } from '../../src/db/connection';
import type { MultiDatabase } from '../../src/db/database';
import { write } from '../../src/db/query';
import { inTransaction } from '../../src/db/transaction';
import {
  newId,
  toBinary,
  type ApplicationId,
  type SessionId,
  type ShareTokenId,
} from '../../src/model/ids';
import { kindSchemas } from '../../src/model/relations';
import { insertFreeClaims, type Claim } from '../../src/store/ledger/entries';
import { insertRefusals, newRefusal, type Refusal } from '../../src/store/refusals';
import { sessionKinds } from '../../src/model/session';
import { leaseBlocks } from '../../src/store/session-numbers';
import { isNumberRefused } from '../../src/store/sessions/numbers';
import { recordShareToken, type ShareTokenRecord } from '../../src/store/share-tokens';
import { insertVendorEntities, type VendorEntity } from '../../src/store/vendor-entities';
import { createSession, createTenant, type Tenant } from '../support/fixtures';
import { databaseUrl } from '../support/mysql';

/** One character more than the columns for names have room for. */
const tooLong = 'x'.repeat(256);

describe('what is inserted only if it is not there', () => {
  let db: MultiDatabase;
  let tenant: Tenant;
  before(() => {
    db = openMultiDatabase({ url: databaseUrl(), poolSize: 5, lockWaitSeconds: 10 });
  });
  beforeEach(async () => {
    tenant = await createTenant(db);
  });
  after(() => db.destroy());

  const rowsOf = async (table: string): Promise<number> => {
    const [row] = (await db(table)
      .where({ application_id: toBinary(tenant.applicationId) })
      .count({ rows: '*' })) as [{ rows: number }];
    return row.rows;
  };

  const failure = async (work: Promise<unknown>): Promise<Error> =>
    work.then(
      () => expect.fail('nothing failed'),
      (error: unknown) => error as Error,
    );

  describe('a claim', () => {
    const claim = (different: Partial<Claim> = {}): Claim => ({
      applicationId: tenant.applicationId,
      sourceSessionId: newId<SessionId>(),
      sourceApplicationId: newId(),
      kind: 'user',
      sourceStatus: 'Approved',
      sourceUpdatedAt: '2026-01-01 00:00:00.000000',
      verifiedAt: null,
      acceptance: noRules,
      connectionId: null,
      scope: null,
      sessionId: newId(),
      trustReview: false,
      actor: { apiKeyId: newId(), gateway: null },
      token: { digest: Buffer.alloc(32), kid: 'k', jti: null, grounds: null },
      linkedTo: null,
      createdAt: new Date(),
      request: { id: null, digest: null, answer: null },
      ...different,
    });
    const insert = (claims: readonly Claim[]) =>
      inTransaction(db, (trx) => insertFreeClaims(trx, claims));

    it('is skipped if any of its unique values is taken, and the others are made', async () => {
      const request = { id: newId<never>(), digest: Buffer.alloc(32), answer: Buffer.alloc(1) };
      const first = claim({ request });
      expect(await insert([first])).to.equal(1);
      const late = [
        claim({ sourceSessionId: first.sourceSessionId }),
        claim({ sessionId: first.sessionId }),
        claim({ request }),
      ];
      expect(await insert([...late, claim()])).to.equal(1);
      expect(await rowsOf('session_imports')).to.equal(2);
    });

    it('is skipped, however many others are skipped with it', async () => {
      const claims = Array.from({ length: 1_000 }, () => claim());
      expect(await insert(claims)).to.equal(1_000);
      expect(await insert(claims)).to.equal(0);
    });

    it('is an error if it does not fit, and nothing of it or of the others stays', async () => {
      const taken = claim();
      await insert([taken]);
      const bad = [
        claim({ token: { digest: Buffer.alloc(32), kid: tooLong, jti: null, grounds: null } }),
        claim({ request: { id: newId(), digest: Buffer.alloc(33), answer: null } }),
        claim({ sourceStatus: 'Forgotten' as never }),
        claim({ createdAt: null as never }),
      ];
      for (const one of bad) {
        // With and without a duplicate, whose warning must not hide the other.
        for (const others of [[claim()], [claim(), taken]]) {
          const { message } = await failure(insert([one, ...others]));
          expect(message).to.match(/^an INSERT has ignored error \d+$/);
        }
      }
      expect(await rowsOf('session_imports')).to.equal(1);
    });
  });

  it('is a share token, once', async () => {
    const share: ShareTokenRecord = {
      id: newId<ShareTokenId>(),
      applicationId: tenant.applicationId,
      sessionId: newId(),
      kind: 'user',
      forApplicationId: newId(),
      linkedSessions: false,
      scope: null,
      grounds: null,
      actor: { apiKeyId: newId(), gateway: null },
      createdAt: new Date(),
      expiresAt: new Date(),
    };
    const bad = { ...share, actor: { apiKeyId: null, gateway: tooLong } };
    expect(await failure(recordShareToken(db, bad))).to.have.property('code', 'ER_DATA_TOO_LONG');
    expect(await rowsOf('share_tokens')).to.equal(0);
    await recordShareToken(db, share);
    await recordShareToken(db, { ...share, kind: 'business' });
    expect(
      await db('share_tokens')
        .select('session_kind')
        .where({ id: toBinary(share.id) }),
    ).to.eql([{ session_kind: 'user' }]);
  });

  it('is a refusal, once', async () => {
    const refusal = (apiKeyOrGateway: Refusal['actor']) =>
      newRefusal({
        applicationId: tenant.applicationId,
        actor: apiKeyOrGateway,
        preview: false,
        acceptance: null,
        connectionId: null,
        reason: 'SHARE_TOKEN_INVALID',
        token: undefined,
      });
    const good = refusal({ apiKeyId: newId(), gateway: null });
    const bad = refusal({ apiKeyId: null, gateway: tooLong });
    const error = await failure(insertRefusals(db, [good, bad]));
    expect(error).to.have.property('code', 'ER_DATA_TOO_LONG');
    expect(await rowsOf('import_refusals')).to.equal(0);
    await insertRefusals(db, [good]);
    await insertRefusals(db, [good, refusal({ apiKeyId: newId(), gateway: null })]);
    expect(await rowsOf('import_refusals')).to.equal(2);
  });

  for (const schema of Object.values(kindSchemas)) {
    it(`is a row of ${schema.vendorEntities}, once for each name`, async () => {
      const entity = (applicationId: ApplicationId): VendorEntity => ({
        id: newId(),
        applicationId,
        vendorData: Buffer.from('a name'),
        createdAt: new Date(),
      });
      const insert = (...entities: VendorEntity[]) =>
        write(db, insertVendorEntities(schema, entities));
      const good = entity(tenant.applicationId);
      const error = await failure(insert(good, entity(newId())));
      expect(error).to.have.property('code', 'ER_NO_REFERENCED_ROW_2');
      expect(await rowsOf(schema.vendorEntities)).to.equal(0);
      await insert(good);
      await insert(entity(tenant.applicationId));
      const found = await db(schema.vendorEntities)
        .select('id')
        .where({ application_id: toBinary(tenant.applicationId) });
      expect(found).to.deep.equal([{ id: toBinary(good.id) }]);
    });
  }

  for (const kind of sessionKinds) {
    it(`is a ${kind} session, and only a refused number is taken for one`, async () => {
      const taken = {
        // What stands in a value is not read.
        session_token: ` for key '${kind}_sessions_application_id_session_number_unique`,
        shared_from_session_id: toBinary(newId()),
      };
      const id = await createSession(db, tenant, kind, { session_number: 7, ...taken });
      const refused = async (columns: Readonly<Record<string, unknown>>): Promise<boolean> =>
        isNumberRefused(await failure(createSession(db, tenant, kind, columns)));
      expect(await refused({ session_number: 7 })).to.equal(true);
      expect(await refused({ session_number: null })).to.equal(true);
      expect(await refused({ id: toBinary(id) })).to.equal(false);
      for (const [column, value] of Object.entries(taken)) {
        expect(await refused({ [column]: value }), column).to.equal(false);
      }
      expect(await refused({ language: null, created_at: null })).to.equal(false);
    });
  }

  it('is a counter of session numbers, of applications that there are', async () => {
    const ids = [tenant.applicationId, newId<ApplicationId>()];
    const error = await failure(leaseBlocks(db, ids, 1));
    expect(error).to.have.property('code', 'ER_NO_REFERENCED_ROW_2');
    expect(await rowsOf('session_counters')).to.equal(0);
    await Promise.all(ids.map(() => leaseBlocks(db, [tenant.applicationId], 1)));
    expect(await rowsOf('session_counters')).to.equal(1);
  });
});
