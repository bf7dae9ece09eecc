import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { AcceptanceRules } from '../../model/acceptance';
import type { RequestId, WorkflowId } from '../../model/ids';
import { ImportSessionRequest } from '../../gen/sessionimport/v1/session_import';
import type { IdempotentRequest } from '../../import/request';
import { acceptance, fieldsOf, rulesOf, wireRules } from './acceptance';
import { checkRequest, optionalId, requiredId, text, vendorData } from '../call/request';

/** A request whose fields are known to be well-formed. */
export interface ParsedImportSessionRequest {
  readonly shareToken: string;
  readonly trustReview: boolean;
  readonly workflowId: WorkflowId;
  readonly vendorData: string | null;
  /** The idempotency key; null: the request has no id. */
  readonly idempotencyKey: IdempotentRequest | null;
  readonly validateOnly: boolean;
  /** The workflow for the sessions of key people; null: they are not imported. */
  readonly linkedWorkflowId: WorkflowId | null;
  /** The rules that the sessions to be copied must meet. */
  readonly acceptance: AcceptanceRules;
}

const maxShareTokenLength = 8192;

const schema = z.object({
  share_token: text
    .min(1, 'is required')
    .max(maxShareTokenLength, `must have at most ${maxShareTokenLength} characters`),
  workflow_id: requiredId<WorkflowId>(),
  vendor_data: vendorData.optional(),
  request_id: optionalId<RequestId>(),
  acceptance: acceptance.optional(),
});

/** The schema of `linked_workflow_id`: needed with linked sessions, and meaningless without. */
type Linked = z.ZodType<WorkflowId | undefined>;

const needed: Linked = requiredId<WorkflowId>();
const meaningless: Linked = z.undefined('has no effect without include_linked_sessions');

const withLinkedSessions = schema.extend({ linked_workflow_id: needed });
const withoutLinkedSessions = schema.extend({ linked_workflow_id: meaningless });

/**
 * Checks the form of a request.
 *
 * @throws ServiceError with INVALID_REQUEST, naming every field that is wrong.
 */
export function parseImportSessionRequest(
  request: ImportSessionRequest,
): ParsedImportSessionRequest {
  const linked = request.includeLinkedSessions ?? false;
  const fields = checkRequest(linked ? withLinkedSessions : withoutLinkedSessions, {
    share_token: request.shareToken,
    workflow_id: request.workflowId,
    vendor_data: request.vendorData,
    request_id: request.requestId,
    linked_workflow_id: linked ? (request.linkedWorkflowId ?? '') : request.linkedWorkflowId,
    acceptance: fieldsOf(request.acceptance),
  });
  const rules = rulesOf(fields.acceptance);
  return {
    shareToken: fields.share_token,
    trustReview: request.trustReview,
    workflowId: fields.workflow_id,
    vendorData: fields.vendor_data ?? null,
    idempotencyKey:
      fields.request_id === undefined
        ? null
        : { id: fields.request_id, digest: digestOf(request, rules) },
    validateOnly: request.validateOnly ?? false,
    linkedWorkflowId: fields.linked_workflow_id ?? null,
    acceptance: rules,
  };
}

/** SHA-256 of what a request asks for, without its id and its `validate_only`. */
function digestOf(
  {
    shareToken,
    trustReview,
    workflowId,
    vendorData,
    includeLinkedSessions,
    linkedWorkflowId,
  }: ImportSessionRequest,
  rules: AcceptanceRules,
): Buffer {
  const asked = {
    shareToken,
    trustReview,
    // UUIDs are equal whatever their case.
    workflowId: workflowId.toLowerCase(),
    vendorData,
    // A missing field and `false` mean the same, so both get the same digest. It is also the digest
    // from before this field existed.
    includeLinkedSessions: includeLinkedSessions === true ? true : undefined,
    linkedWorkflowId: linkedWorkflowId?.toLowerCase(),
    // Equal rules have the same digest, however they are written. No rules: as if the field did not exist.
    acceptance: wireRules(rules),
  };
  const bytes = ImportSessionRequest.encode(ImportSessionRequest.fromPartial(asked)).finish();
  return createHash('sha256').update(bytes).digest();
}
