import { expect } from 'chai';
import type { RowDataPacket } from 'mysql2/promise';
import { fromBinary, toBinary } from '../../src/model/ids';
import { kindSchemas } from '../../src/model/relations';
import { sessionKinds, type SessionKind } from '../../src/model/session';
import type { Tenant } from '../support/fixtures';
import { without } from '../support/helpers';
import { database } from './cluster';
import type { Acknowledged } from './load';
import type { Node } from './node';

type Query = (sql: string, values?: readonly unknown[]) => Promise<RowDataPacket[]>;

/**
 * Fails the test unless a node has every import that was acknowledged, each once and each whole: the rows of
 * every relation are those of the original. What was not acknowledged may be there, and then is whole as well.
 *
 * @returns how many imports the node has.
 */
export async function audit(
  node: Node,
  tenants: readonly Tenant[],
  acknowledged: readonly Acknowledged[],
): Promise<number> {
  const connection = await node.connect();
  try {
    await connection.query(`USE ${database}`);
    const query: Query = async (sql, values = []) =>
      (await connection.query<RowDataPacket[]>(sql, values as never))[0];
    const applications = tenants.map(({ applicationId }) => toBinary(applicationId));
    const entries = await query(
      'SELECT application_id, source_session_id, session_id FROM session_imports WHERE application_id IN (?)',
      [applications],
    );
    const ledger = new Map(entries.map((entry) => [pairOf(entry), idOf(entry['session_id'])]));
    for (const { order, sessionId } of acknowledged) {
      const pair = `${order.tenant.applicationId} ${order.source.sessionId}`;
      expect(ledger.get(pair), `an acknowledged import on node ${node.name}`).to.equal(sessionId);
    }
    const copies = new Map<string, string>();
    for (const kind of sessionKinds) await auditKind(query, kind, applications, copies);
    expect(copies, `copies and ledger on node ${node.name}`).to.deep.equal(ledger);
    return ledger.size;
  } finally {
    connection.destroy();
  }
}

/** Compares the copies of a kind with their originals, and adds them to `copies`: no pair may be there twice. */
async function auditKind(
  query: Query,
  kind: SessionKind,
  applications: readonly Buffer[],
  copies: Map<string, string>,
): Promise<void> {
  const { sessions, relations, logs } = kindSchemas[kind];
  const found = await query(
    `SELECT application_id, shared_from_session_id AS source_session_id, id AS session_id
     FROM ${sessions} WHERE application_id IN (?)`,
    [applications],
  );
  for (const copy of found) {
    expect(copies.has(pairOf(copy)), 'a second copy').to.equal(false);
    copies.set(pairOf(copy), idOf(copy['session_id']));
  }
  if (found.length === 0) return;
  const ids = found.flatMap((copy) => [copy['session_id'], copy['source_session_id']] as unknown[]);
  for (const { table, key } of relations) {
    const rows = await query(
      `SELECT * FROM ${table} WHERE session_id IN (?) ORDER BY session_id, ${key.join()}`,
      [ids],
    );
    const bySession = new Map<string, RowDataPacket[]>();
    for (const row of rows) {
      const id = idOf(row['session_id']);
      const known = bySession.get(id) ?? [];
      bySession.set(id, [...known, without(row, 'session_id')]);
    }
    const rowsOf = (id: unknown) => [...(bySession.get(idOf(id)) ?? [])];
    for (const { session_id: copy, source_session_id: original } of found) {
      const copied = rowsOf(copy);
      // The import has appended a log entry of its own.
      if (table === logs) copied.pop();
      expect(copied, `${table} of a copy`).to.deep.equal(rowsOf(original).map(asCopied));
    }
  }
}

/** A row as a copy has it: a key person's session is only provenance there. */
function asCopied(row: RowDataPacket): object {
  if (!('kyc_session_id' in row)) return row;
  return { ...row, kyc_session_id: null, source_kyc_session_id: row['kyc_session_id'] as unknown };
}

function pairOf(row: RowDataPacket): string {
  return `${idOf(row['application_id'])} ${idOf(row['source_session_id'])}`;
}

function idOf(bytes: unknown): string {
  return fromBinary(bytes as Buffer);
}
