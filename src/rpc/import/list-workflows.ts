import { z } from 'zod';
import type {
  ListWorkflowsRequest,
  ListWorkflowsResponse,
  Workflow,
} from '../../gen/sessionimport/v1/session_import';
import { listWorkflows as list, workflowKeyset, type ListedWorkflow } from '../../store/accounts';
import type { Caller } from '../call/callers';
import { PageTokens } from '../call/page-tokens';
import { checkRequest, knownValue } from '../call/request';
import type { HandlerContext } from '../context';
import { wantedKind, wantedKinds, wireKinds } from '../wire';
import { wireRules } from './acceptance';

const schema = z.object({ session_kind: knownValue(wantedKinds) });

/** Lists the workflows of the caller's application, oldest first. */
export async function listWorkflows(
  request: ListWorkflowsRequest,
  { applicationId }: Caller,
  { onDatabase, annotate }: HandlerContext,
): Promise<ListWorkflowsResponse> {
  const fields = checkRequest(schema, { session_kind: request.sessionKind });
  const kind = wantedKind(fields.session_kind);
  const tokens = new PageTokens(['ListWorkflows', applicationId, kind], workflowKeyset);
  const page = tokens.read(request);
  const { items, end } = await onDatabase((db) => list(db, applicationId, kind, page));
  annotate({ listed: items.length });
  return { workflows: items.map(wireWorkflow), nextPageToken: tokens.after(end) };
}

function wireWorkflow(workflow: ListedWorkflow): Workflow {
  const { id, kind, name, version, createdAt, acceptance } = workflow;
  return {
    workflowId: id,
    sessionKind: wireKinds[kind],
    name,
    version,
    createdAt,
    acceptance: wireRules(acceptance),
  };
}
