import { z } from 'zod';
import {
  ImportOutcome,
  ImportRecord as WireImportRecord,
  type GetProvenanceRequest,
  type GetProvenanceResponse,
  type ProvenanceStep as WireStep,
} from '../../gen/sessionimport/v1/session_trace';
import type { SessionId } from '../../model/ids';
import { ServiceError } from '../../model/problems';
import type { LedgerStep } from '../../store/ledger/records';
import { provenanceOf } from '../../store/provenance';
import type { Caller } from '../call/callers';
import { checkRequest, requiredId } from '../call/request';
import type { HandlerContext } from '../context';
import { wireImportRecord } from './wire';

const schema = z.object({ session_id: requiredId<SessionId>() });

/** Follows a session of the caller's application back to its origin. */
export async function getProvenance(
  request: GetProvenanceRequest,
  { applicationId }: Caller,
  { onDatabase, annotate }: HandlerContext,
): Promise<GetProvenanceResponse> {
  const { session_id: sessionId } = checkRequest(schema, { session_id: request.sessionId });
  const provenance = await onDatabase((db) => provenanceOf(db, applicationId, sessionId));
  if (!provenance) throw new ServiceError({ reason: 'SESSION_NOT_FOUND', sessionId });
  const { steps, complete } = provenance;
  annotate({ session_id: sessionId, steps: steps.length });
  return { steps: steps.map(wireStep), complete };
}

function wireStep({ record, createdAt }: LedgerStep): WireStep {
  if (record) return { record: wireImportRecord(record), withheld: false };
  const outcome = ImportOutcome.IMPORT_OUTCOME_IMPORTED;
  return { record: WireImportRecord.fromPartial({ outcome, createdAt }), withheld: true };
}
