import { createHash } from 'node:crypto';
import { pagesOf, type WantedPage } from '../db/cursor';
import type { MultiDatabase } from '../db/database';
import type { AcceptanceRules } from '../model/acceptance';
import type { Grounds } from '../model/grounds';
import type { ApplicationId } from '../model/ids';
import { withheldBy } from '../model/scope';
import { listIncoming, listOutgoing } from '../store/import-lists';
import type { ImportRecord } from '../store/import-records';

/** How many records are read at a time. */
const pageSize = 500;

/** From `since` on, and before `until`. */
interface Period {
  readonly since: Date;
  readonly until: Date;
}

/**
 * The lines of an export for auditors: a head, a line for each import and refusal, and a summary with the SHA-256 of
 * everything before it. Each text has one or more whole lines, or none.
 *
 * The service never changes a record. So once the period has passed, every export of it has the same lines, although
 * the pages are not read in one transaction.
 */
export async function* auditLines(
  db: MultiDatabase,
  applicationId: ApplicationId,
  { since, until }: Period,
): AsyncGenerator<string> {
  const filter = { kind: undefined, otherApplicationId: undefined, since, until };
  const lists = {
    incoming: (page: WantedPage) => listIncoming(db, applicationId, filter, undefined, page),
    outgoing: (page: WantedPage) => listOutgoing(db, applicationId, filter, page),
  };
  const digest = createHash('sha256');
  const digested = (text: string): string => {
    digest.update(text);
    return text;
  };
  const counted = { imports_incoming: 0, refusals_incoming: 0, imports_outgoing: 0 };

  const head = { application_id: applicationId, from: since, to: until };
  yield digested(lineOf({ type: 'export', ...head }));
  for (const direction of ['incoming', 'outgoing'] as const) {
    for await (const records of pagesOf(pageSize, lists[direction])) {
      for (const { refusedFor } of records) {
        if (direction === 'outgoing') counted.imports_outgoing++;
        else if (refusedFor === null) counted.imports_incoming++;
        else counted.refusals_incoming++;
      }
      yield digested(records.map((record) => lineOf(fieldsOf(record, direction))).join(''));
    }
  }
  yield lineOf({ type: 'summary', ...counted, sha256: digest.digest('hex') });
}

function lineOf(fields: object): string {
  return `${JSON.stringify(fields)}\n`;
}

/** The fields of a record's line: always the same. Null: there is no such value, or the application may not know it. */
function fieldsOf(record: ImportRecord, direction: 'incoming' | 'outgoing'): object {
  const { createdAt, applicationId, source, actor, copy, acceptance, refusedFor } = record;
  return {
    type: refusedFor === null ? 'import' : 'refusal',
    direction,
    created_at: createdAt,
    application_id: applicationId,
    api_key_id: actor?.apiKeyId ?? null,
    gateway: actor?.gateway ?? null,
    shared_from_application: source?.applicationId ?? null,
    shared_from_session: source?.sessionId ?? null,
    session_kind: source?.kind ?? null,
    source_status: copy?.sourceStatus ?? null,
    verified_at: copy?.verifiedAt ?? null,
    acceptance: acceptance && fieldsOfRules(acceptance),
    trust_review: copy?.trustReview ?? null,
    session_id: copy?.sessionId ?? null,
    linked_to_session: copy?.linkedTo ?? null,
    share_token_id: source?.shareTokenId ?? null,
    signing_key_id: source?.signingKeyId ?? null,
    grounds: source?.grounds ? fieldsOfGrounds(source.grounds) : null,
    connection_id: record.connectionId,
    withheld_relations: source && withheldBy(source.scope, source.kind),
    reason: refusedFor,
    preview: record.preview,
  };
}

function fieldsOfRules({
  maxAge,
  documentsUnexpired,
  statuses,
  relations,
}: AcceptanceRules): object {
  return {
    max_age_seconds: maxAge,
    documents_unexpired: documentsUnexpired,
    statuses,
    relations,
  };
}

function fieldsOfGrounds({ kind, purpose, reference, obtainedAt, evidence }: Grounds): object {
  return {
    kind,
    purpose,
    reference,
    obtained_at: obtainedAt,
    evidence_sha256: evidence?.toString('hex') ?? null,
  };
}
