/** Makes data that is so large that it takes bulk statements. */
import { newId, toBinary, type ApplicationId, type SessionId } from '../../src/model/ids';
import { write } from '../../src/db/query';
import type { Database } from '../../src/db/database';
import { kindSchemas } from '../../src/model/relations';
import { addRows, multiply } from '../copies';
import type { Stage } from './stage';

/** Numbers from 0, as a table that is called `numbers` with the column `n`. */
const numbers = `WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < ?)
  SELECT /*+ SET_VAR(cte_max_recursion_depth = 1000000) */`;

/** A unique id: a marker of the table, and the number. */
const numberedId = (marker: number): string => `UNHEX(CONCAT('${marker}', LPAD(HEX(n), 31, '0')))`;

/** Gives an application a ledger of imports that never took place. */
export async function fillLedger(
  db: Database,
  applicationId: ApplicationId,
  rows: number,
): Promise<void> {
  await write(db, {
    sql: `INSERT INTO session_imports (application_id, source_session_id, source_application_id,
            session_kind, source_status, session_id, trust_review, api_key_id, token_digest, created_at)
          ${numbers} ?, ${numberedId(8)}, ?, 'user', 'Approved', ${numberedId(9)}, TRUE, ?,
            UNHEX(SHA2(n, 256)), TIMESTAMPADD(SECOND, n, '2025-01-01')
          FROM numbers`,
    bindings: [rows, toBinary(applicationId), toBinary(newId()), toBinary(newId())],
  });
}

/** Makes a session of the sharing application with rows of a given size, as a template for others. */
export async function hugeTemplate(
  { db, world }: Stage,
  rows: number,
  bytesOfRow: number,
): Promise<SessionId> {
  const template = await emptySession({ db, world }, 'user');
  await write(db, {
    sql: `INSERT INTO user_logs (session_id, ordinal, status, activity_type, log_type, additional_data,
            created_at, updated_at)
          VALUES (?, 0, 'Approved', 'stress', 'information', JSON_QUOTE(REPEAT('x', ?)), ?, ?)`,
    bindings: [toBinary(template), bytesOfRow, new Date(), new Date()],
  });
  await addRows(db, 'user_logs', template, rows - 1);
  return template;
}

/**
 * Makes companies of the sharing application. All have the same key people, each with a finished session.
 */
export async function companiesWithPeople(
  { db, world }: Stage,
  companies: number,
  people: number,
): Promise<SessionId[]> {
  const person = await emptySession({ db, world }, 'user');
  const sessions = await multiply(db, world, 'user', person, people);
  const [first, last] = [sessions[0], sessions.at(-1)];
  if (!first || !last) throw new Error('there are no people');
  const template = await emptySession({ db, world }, 'business');
  const now = new Date();
  await write(db, {
    sql: `INSERT INTO business_key_people_checks (session_id, ordinal, status, created_at, updated_at)
          VALUES (?, 0, 'Approved', ?, ?)`,
    bindings: [toBinary(template), now, now],
  });
  await write(db, {
    // The ids of sessions grow in the order in which they were made.
    sql: `INSERT INTO business_key_people (session_id, check_ordinal, ordinal, status, party_kind,
            full_name, is_skipped, kyc_session_id, created_at, updated_at)
          SELECT ?, 0, ROW_NUMBER() OVER (ORDER BY id) - 1, 'Approved', 'person', 'a key person', FALSE,
            id, ?, ?
          FROM user_sessions WHERE id BETWEEN ? AND ?`,
    bindings: [toBinary(template), now, now, toBinary(first), toBinary(last)],
  });
  return multiplyCompany({ db, world }, template, companies);
}

/**
 * Makes many copies of a company, whose key people have the same sessions as the original's. (A usual copy
 * only keeps those as provenance.)
 */
export async function multiplyCompany(
  { db, world }: Pick<Stage, 'db' | 'world'>,
  template: SessionId,
  count: number,
): Promise<SessionId[]> {
  const companies = await multiply(db, world, 'business', template, count);
  await write(db, {
    sql: `UPDATE business_key_people
          SET kyc_session_id = source_kyc_session_id, source_kyc_session_id = NULL
          WHERE session_id IN (?) AND source_kyc_session_id IS NOT NULL`,
    bindings: [companies.map(toBinary)],
  });
  return companies;
}

/** Makes a session of the sharing application without any rows. */
async function emptySession(
  { db, world }: Pick<Stage, 'db' | 'world'>,
  kind: 'user' | 'business',
): Promise<SessionId> {
  const [id] = await multiply(db, world, kind, world.templates[kind], 1);
  if (!id) throw new Error('no session was made');
  for (const { table } of kindSchemas[kind].relations.toReversed()) {
    await write(db, { sql: `DELETE FROM ${table} WHERE session_id = ?`, bindings: [toBinary(id)] });
  }
  return id;
}
