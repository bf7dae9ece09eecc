import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { RequestId, WorkflowId } from '../db/ids';
import { ImportSessionRequest } from '../gen/sessionimport/v1/session_import';
import type { RequestIdentity } from '../import/kept-answers';
import { checkRequest, optionalId, requiredId, text, vendorData } from './request';

/** A request whose fields are known to be well-formed. */
interface ParsedImportSessionRequest {
  readonly shareToken: string;
  readonly trustReview: boolean;
  readonly workflowId: WorkflowId;
  readonly vendorData: string | null;
  /** What makes the request known again; null: it has no id. */
  readonly identity: RequestIdentity | null;
  readonly validateOnly: boolean;
}

const longestShareToken = 8192;

const schema = z.object({
  share_token: text
    .min(1, 'is required')
    .max(longestShareToken, `must have at most ${longestShareToken} characters`),
  workflow_id: requiredId<WorkflowId>(),
  vendor_data: vendorData.optional(),
  request_id: optionalId<RequestId>(),
});

/**
 * Checks the form of a request.
 *
 * @throws ServiceError with INVALID_REQUEST, naming every field that is wrong.
 */
export function parseImportSessionRequest(
  request: ImportSessionRequest,
): ParsedImportSessionRequest {
  const fields = checkRequest(schema, {
    share_token: request.shareToken,
    workflow_id: request.workflowId,
    vendor_data: request.vendorData,
    request_id: request.requestId,
  });
  return {
    shareToken: fields.share_token,
    trustReview: request.trustReview,
    workflowId: fields.workflow_id,
    vendorData: fields.vendor_data ?? null,
    identity:
      fields.request_id === undefined ? null : { id: fields.request_id, digest: digestOf(request) },
    validateOnly: request.validateOnly ?? false,
  };
}

/** SHA-256 of what a request asks for, whatever id it has, and whether it asks in earnest. */
function digestOf({
  shareToken,
  trustReview,
  workflowId,
  vendorData,
}: ImportSessionRequest): Buffer {
  // An id is the same in whatever case it is written.
  const asked = { shareToken, trustReview, workflowId: workflowId.toLowerCase(), vendorData };
  const bytes = ImportSessionRequest.encode(ImportSessionRequest.fromPartial(asked)).finish();
  return createHash('sha256').update(bytes).digest();
}
