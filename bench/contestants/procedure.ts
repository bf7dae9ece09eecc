import type { Database } from '../../src/db/database';
import { newId, toBinary } from '../../src/model/ids';
import { write } from '../../src/db/query';
import { newSessionToken } from '../../src/model/session-token';
import { carriedColumns } from '../../src/store/sessions/copies';
import { kindSchemas } from '../../src/model/relations';
import { sessionKinds, type SessionKind } from '../../src/model/session';
import { clonedColumns, digestOf } from '../copies';
import type { Import } from '../subjects';

/**
 * Makes the stored procedures: the whole import of one session in one call, checks and numbering
 * included, all of it in the server.
 */
export async function createProcedures(db: Database): Promise<void> {
  for (const kind of sessionKinds) await db.raw(await procedure(db, kind));
}

/** Imports a session by one call of the stored procedure. */
export async function importByProcedure(db: Database, job: Import): Promise<void> {
  const { kind, importing } = job;
  const values = [
    toBinary(newId()),
    toBinary(newId()),
    toBinary(job.source),
    toBinary(importing.applicationId),
    toBinary(importing.apiKeyId),
    toBinary(importing.workflows[kind]),
    newSessionToken(),
    Buffer.from(job.vendorData),
    digestOf(job.number),
    new Date(),
  ];
  await write(db, { sql: `CALL bench_import_${kind}(?)`, bindings: [values] });
}

async function procedure(db: Database, kind: SessionKind): Promise<string> {
  const { sessions, vendorEntities, logs, relations } = kindSchemas[kind];
  const carried = (prefix: string): string =>
    carriedColumns.map((column) => `${prefix}${column}`).join(', ');
  const clones: string[] = [];
  for (const relation of relations) {
    const { table } = relation;
    const { columns, values } = await clonedColumns(db, relation);
    clones.push(
      `INSERT INTO ${table} (session_id, ${columns})
       SELECT p_id, ${values} FROM ${table} r WHERE r.session_id = p_source;`,
    );
  }
  return `
    CREATE PROCEDURE bench_import_${kind}(
      p_id BINARY(16), p_entity BINARY(16), p_source BINARY(16), p_application BINARY(16),
      p_api_key BINARY(16), p_workflow BINARY(16), p_token VARCHAR(64),
      p_vendor_data VARBINARY(1020), p_digest BINARY(32), p_now DATETIME(6))
    BEGIN
      DECLARE v_application BINARY(16);
      DECLARE v_status VARCHAR(32);
      DECLARE v_version INT UNSIGNED;
      DECLARE v_entity BINARY(16);
      DECLARE v_number BIGINT UNSIGNED;
      DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN ROLLBACK; RESIGNAL; END;

      START TRANSACTION;
      SELECT application_id, status INTO v_application, v_status
        FROM ${sessions} WHERE id = p_source LOCK IN SHARE MODE;
      IF v_status IS NULL OR v_status NOT IN ('Approved', 'Declined', 'In Review', 'Kyc Expired') THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no such session, or not finished';
      END IF;
      SELECT version INTO v_version FROM workflows
        WHERE id = p_workflow AND application_id = p_application AND kind = '${kind}';
      IF v_version IS NULL THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no such workflow';
      END IF;
      INSERT INTO session_imports (application_id, source_session_id, source_application_id,
          session_kind, source_status, session_id, trust_review, api_key_id, token_digest, created_at)
        VALUES (p_application, p_source, v_application, '${kind}', v_status, p_id, TRUE, p_api_key,
          p_digest, p_now);
      SELECT id INTO v_entity FROM ${vendorEntities}
        WHERE application_id = p_application AND vendor_data = p_vendor_data;
      IF v_entity IS NULL THEN
        SET v_entity = p_entity;
        INSERT INTO ${vendorEntities} (id, application_id, vendor_data, created_at)
          VALUES (v_entity, p_application, p_vendor_data, p_now);
      END IF;
      UPDATE session_counters SET next_number = LAST_INSERT_ID(next_number) + 1
        WHERE application_id = p_application;
      SET v_number = LAST_INSERT_ID();
      INSERT INTO ${sessions} (id, application_id, session_number, session_token, status, workflow_id,
          workflow_version, vendor_entity_id, vendor_data, shared_from_session_id,
          shared_from_application_id, created_at, updated_at, ${carried('')})
        SELECT p_id, p_application, v_number, p_token, o.status, p_workflow, v_version, v_entity,
          p_vendor_data, o.id, o.application_id, p_now, p_now, ${carried('o.')}
        FROM ${sessions} o WHERE o.id = p_source;
      ${clones.join('\n      ')}
      INSERT INTO ${logs} (session_id, ordinal, status, activity_type, log_type, short_description,
          created_at, updated_at)
        VALUES (p_id, 1000000, v_status, 'session_imported', 'information', 'Session imported',
          p_now, p_now);
      COMMIT;
    END`;
}
