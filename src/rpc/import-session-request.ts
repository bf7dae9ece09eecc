import { createHash } from 'node:crypto';
import { z } from 'zod';
import { isUuid, toId, type WorkflowId } from '../db/ids';
import { ServiceError } from '../errors';
import { ImportSessionRequest } from '../gen/sessionimport/v1/session_import';
import type { RequestIdentity } from '../import/kept-answers';

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
const longestVendorData = 255;

/** The fields by their names in the proto file, so that a violation names what the caller wrote. */
const schema = z.object({
  share_token: z
    .string()
    .refine(isUtf8, 'must be UTF-8')
    .min(1, 'is required')
    .max(longestShareToken, `must have at most ${longestShareToken} characters`),
  workflow_id: z.string().min(1, 'is required').refine(isUuid, 'must be a UUID'),
  vendor_data: z
    .string()
    .refine(isUtf8, 'must be UTF-8')
    .min(1, 'must not be empty when present; leave it out if there is none')
    .refine(
      // Characters, and not the UTF-16 units that a JavaScript string counts.
      (text) => text.length <= longestVendorData || Array.from(text).length <= longestVendorData,
      `must have at most ${longestVendorData} characters`,
    )
    .optional(),
  request_id: z.string().refine(isUuid, 'must be a UUID when present').optional(),
});

/** See `strictUtf8`. */
function isUtf8(text: string): boolean {
  return text.isWellFormed();
}

/**
 * Checks the form of a request.
 *
 * @throws ServiceError with INVALID_REQUEST, naming every field that is wrong.
 */
export function parseImportSessionRequest(
  request: ImportSessionRequest,
): ParsedImportSessionRequest {
  const parsed = schema.safeParse({
    share_token: request.shareToken,
    workflow_id: request.workflowId,
    vendor_data: request.vendorData,
    request_id: request.requestId,
  });
  if (!parsed.success) {
    const first = new Map<string, string>();
    for (const { path, message } of parsed.error.issues) {
      const field = path.join('.');
      if (!first.has(field)) first.set(field, message);
    }
    const violations = [...first].map(([field, description]) => ({ field, description }));
    throw new ServiceError({ reason: 'INVALID_REQUEST', violations });
  }
  return {
    shareToken: parsed.data.share_token,
    trustReview: request.trustReview,
    workflowId: toId(parsed.data.workflow_id),
    vendorData: parsed.data.vendor_data ?? null,
    identity:
      parsed.data.request_id === undefined
        ? null
        : { id: toId(parsed.data.request_id), digest: digestOf(request) },
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
