import type { handleUnaryCall } from '@grpc/grpc-js';
import { z } from 'zod';
import type { SessionId } from '../../model/ids';
import { ServiceError } from '../../model/problems';
import {
  ImportOutcome,
  ImportRecord as WireImportRecord,
  SessionTraceService,
  type GetProvenanceRequest,
  type GetProvenanceResponse,
  type ProvenanceStep as WireStep,
} from '../../gen/sessionimport/v1/session_trace';
import { provenanceOf, type ProvenanceStep } from '../../store/provenance';
import { authorize } from '../call/authorize';
import type { Context } from '../context';
import { wireImportRecord } from './wire';
import { onDatabase } from '../on-database';
import { checkRequest, requiredId } from '../call/request';
import { unary } from '../call/unary';

const schema = z.object({ session_id: requiredId<SessionId>() });

/** Follows a session of the caller's application back to its origin. */
export function getProvenance(
  context: Context,
): handleUnaryCall<GetProvenanceRequest, GetProvenanceResponse> {
  return unary(SessionTraceService.getProvenance, context, async (call) => {
    const { applicationId } = await authorize(call, context, 'read:session-imports');
    const { session_id: sessionId } = checkRequest(schema, { session_id: call.request.sessionId });
    const provenance = await onDatabase(context, (db) =>
      provenanceOf(db, applicationId, sessionId),
    );
    if (!provenance) throw new ServiceError({ reason: 'SESSION_NOT_FOUND', sessionId });
    const { steps, complete } = provenance;
    call.note({ session_id: sessionId, steps: steps.length });
    return { steps: steps.map(wireStep), complete };
  });
}

function wireStep({ record, createdAt }: ProvenanceStep): WireStep {
  if (record) return { record: wireImportRecord(record), withheld: false };
  const outcome = ImportOutcome.IMPORT_OUTCOME_IMPORTED;
  return { record: WireImportRecord.fromPartial({ outcome, createdAt }), withheld: true };
}
