import { expect } from 'chai';
import { toBinary, toId } from '../../src/model/ids';
import { kindSchemas } from '../../src/model/relations';
import { sessionKinds } from '../../src/model/session';
import { sessionOf } from '../support/client';
import { createSession, createTenant } from '../support/fixtures';
import { select, sessionRow } from '../support/rows';
import { startHarness, type Harness } from '../support/service';

const names = [
  'Ana',
  'ana',
  'Aná',
  'Ana\u0301',
  'ana ',
  ' ana',
  'ana\u0000',
  '🧑🏽‍💼',
  'x'.repeat(255),
];

describe('vendor_data', () => {
  let harness: Harness;
  before(async () => {
    harness = await startHarness();
  });
  after(() => harness.stop());

  for (const kind of sessionKinds) {
    it(`names an entity byte for byte, and the same entity every time (${kind})`, async () => {
      const { db, source, signer, client } = harness;
      const tenant = await createTenant(db);
      for (const vendorData of [...names, ...names]) {
        const original = await createSession(db, source, kind);
        const answer = await client.import(tenant.apiKey, {
          shareToken: await signer.share(source, tenant, kind, original),
          workflowId: tenant.workflows[kind],
          vendorData,
        });
        expect(sessionOf(answer).vendorData).to.equal(vendorData);
      }
      const { sessions, vendorEntities } = kindSchemas[kind];
      const entities = await select('SELECT id, vendor_data FROM ?? WHERE application_id = ?', [
        vendorEntities,
        toBinary(tenant.applicationId),
      ]);
      expect(entities.map((entity) => String(entity['vendor_data'])).toSorted()).to.deep.equal(
        names.toSorted(),
      );
      for (const { id, vendor_data: name } of entities) {
        const rows = await select('SELECT vendor_data FROM ?? WHERE vendor_entity_id = ?', [
          sessions,
          id,
        ]);
        expect(rows).to.deep.equal([{ vendor_data: name }, { vendor_data: name }]);
      }
    });
  }

  it('is the importing application’s own: another application’s entity of that name stays its own', async () => {
    const { db, source, signer, client } = harness;
    const owners = await Promise.all(
      [await createTenant(db), await createTenant(db)].map(async (tenant) => {
        const original = await createSession(db, source, 'user');
        await client.import(tenant.apiKey, {
          shareToken: await signer.share(source, tenant, 'user', original),
          workflowId: tenant.workflows.user,
          vendorData: 'shared name',
        });
        return db('vendor_users').where({
          application_id: toBinary(tenant.applicationId),
          vendor_data: Buffer.from('shared name'),
        });
      }),
    );
    for (const entities of owners) expect(entities).to.have.length(1);
  });

  it('left out, leaves the session without an entity, and the source’s own name behind', async () => {
    const { db, source, target, signer, client } = harness;
    const original = await createSession(db, source, 'user');
    const answer = await client.import(target.apiKey, {
      shareToken: await signer.share(source, target, 'user', original),
      workflowId: target.workflows.user,
    });
    expect(sessionOf(answer).vendorData).to.equal(undefined);
    const copy = await sessionRow('user', toId(sessionOf(answer).sessionId));
    expect(copy).to.include({ vendor_data: null, vendor_entity_id: null });
  });
});
