import {
  ImportOutcome,
  ImportRecord as WireImportRecord,
} from '../../gen/sessionimport/v1/session_trace';
import { withheldBy } from '../../model/scope';
import type { ImportRecord } from '../../store/import-records';
import { wireGrounds } from '../grounds';
import { wireRules } from '../import/acceptance';
import { wireKinds, wireStatuses } from '../wire';

/** What is known of an import, as the contract writes it. */
export function wireImportRecord(record: ImportRecord): WireImportRecord {
  const { source, actor, copy, acceptance, refusedFor } = record;
  return WireImportRecord.fromPartial({
    outcome:
      refusedFor === null
        ? ImportOutcome.IMPORT_OUTCOME_IMPORTED
        : ImportOutcome.IMPORT_OUTCOME_REFUSED,
    createdAt: record.createdAt,
    applicationId: record.applicationId,
    sessionKind: source ? wireKinds[source.kind] : undefined,
    sharedFromSession: source?.sessionId,
    sharedFromApplication: source?.applicationId,
    sessionId: copy?.sessionId,
    sourceStatus: copy ? wireStatuses[copy.sourceStatus] : undefined,
    trustReview: copy?.trustReview,
    apiKeyId: actor?.apiKeyId ?? undefined,
    gateway: actor?.gateway ?? undefined,
    shareTokenId: source?.shareTokenId ?? undefined,
    signingKeyId: source?.signingKeyId ?? undefined,
    reason: refusedFor ?? undefined,
    linkedToSession: copy?.linkedTo ?? undefined,
    preview: record.preview,
    connectionId: record.connectionId ?? undefined,
    grounds: wireGrounds(source?.grounds ?? null),
    acceptance: acceptance ? wireRules(acceptance) : undefined,
    verifiedAt: copy?.verifiedAt ?? undefined,
    withheldRelations: source ? [...withheldBy(source.scope, source.kind)] : [],
  });
}
