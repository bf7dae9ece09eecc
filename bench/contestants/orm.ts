import type { Database } from '../../src/db/database';
import { newId, toBinary } from '../../src/model/ids';
import { newSessionToken } from '../../src/model/session-token';
import { carriedColumns } from '../../src/store/sessions/copies';
import { kindSchemas } from '../../src/model/relations';
import { finishedStatuses, type SessionStatus } from '../../src/model/session';
import { digestOf } from '../copies';
import type { Import } from '../subjects';

type Row = Record<string, unknown>;

/**
 * Imports a session as one would write it first: reads its rows table by table, and inserts each of
 * them again, in one transaction.
 */
export async function importByOrm(db: Database, job: Import): Promise<void> {
  const { kind, importing } = job;
  const schema = kindSchemas[kind];
  const sourceId = toBinary(job.source);
  const applicationId = toBinary(importing.applicationId);
  const workflowId = toBinary(importing.workflows[kind]);
  const vendorData = Buffer.from(job.vendorData);
  const id = toBinary(newId());
  const now = new Date();

  await db.transaction(async (trx) => {
    const known = await trx<Row>('session_imports')
      .where({ application_id: applicationId, source_session_id: sourceId })
      .first();
    if (known) throw new Error('imported before');
    const source = await trx<Row>(schema.sessions).where({ id: sourceId }).forShare().first();
    if (!source || !finishedStatuses.has(source['status'] as SessionStatus)) {
      throw new Error('no such session, or not finished');
    }
    const workflow = await trx<Row>('workflows')
      .where({ id: workflowId, application_id: applicationId, kind })
      .first();
    if (!workflow) throw new Error('no such workflow');
    await trx('session_imports').insert({
      application_id: applicationId,
      source_session_id: sourceId,
      source_application_id: source['application_id'],
      session_kind: kind,
      source_status: source['status'],
      session_id: id,
      trust_review: true,
      api_key_id: toBinary(importing.apiKeyId),
      token_digest: digestOf(job.number),
      created_at: now,
    });

    const entity = { application_id: applicationId, vendor_data: vendorData };
    let vendorEntityId = (await trx<Row>(schema.vendorEntities).where(entity).first())?.['id'];
    if (!vendorEntityId) {
      vendorEntityId = toBinary(newId());
      await trx(schema.vendorEntities).insert({ ...entity, id: vendorEntityId, created_at: now });
    }

    const counter = { application_id: applicationId };
    const counted = await trx<Row>('session_counters').where(counter).forUpdate().first();
    await trx('session_counters').where(counter).increment('next_number');

    const carried = Object.fromEntries(carriedColumns.map((column) => [column, source[column]]));
    await trx(schema.sessions).insert(
      storable({
        ...carried,
        id,
        application_id: applicationId,
        session_number: counted?.['next_number'],
        session_token: newSessionToken(),
        status: source['status'],
        workflow_id: workflowId,
        workflow_version: workflow['version'],
        vendor_entity_id: vendorEntityId,
        vendor_data: vendorData,
        shared_from_session_id: sourceId,
        shared_from_application_id: source['application_id'],
        created_at: now,
        updated_at: now,
      }),
    );
    for (const { table } of schema.relations) {
      const rows = await trx<Row>(table).where({ session_id: sourceId });
      for (const row of rows) await trx(table).insert(storable({ ...row, session_id: id }));
    }
    await trx(schema.logs).insert({
      session_id: id,
      ordinal: 1_000_000,
      status: source['status'],
      activity_type: 'session_imported',
      log_type: 'information',
      short_description: 'Session imported',
      created_at: now,
      updated_at: now,
    });
  });
}

/** The driver reads JSON as objects, and does not write it. */
function storable(row: Row): Row {
  return Object.fromEntries(
    Object.entries(row).map(([column, value]) => {
      const structured =
        typeof value === 'object' &&
        value !== null &&
        !(value instanceof Date) &&
        !Buffer.isBuffer(value);
      return [column, structured ? JSON.stringify(value) : value];
    }),
  );
}
