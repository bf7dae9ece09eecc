import { LRUCache } from 'lru-cache';
import type { ApplicationId, WorkflowId } from '../model/ids';
import type { Workflow } from '../store/accounts';
import type { ImportRequest } from './request';

/** How many workflows are remembered at most. */
const most = 10_000;

/**
 * The workflows that wanted unexpired documents when they were last read. A group reads a workflow's rules and
 * the expired documents in one round trip, so it has to know before whether it needs the documents. This is
 * only a guess, and decides nothing: if documents turn out to be needed, the group reads them afterwards.
 */
export class StrictWorkflows {
  private readonly known = new LRUCache<WorkflowId, ApplicationId>({ max: most });

  /** Whether the request's workflow is one of them, and belongs to the importing application. */
  has({ workflowId, applicationId }: ImportRequest): boolean {
    return this.known.get(workflowId) === applicationId;
  }

  /** Remembers which of the workflows that were just read want unexpired documents. */
  learn(workflows: ReadonlyMap<WorkflowId, Workflow>): void {
    for (const [id, { applicationId, acceptance }] of workflows) {
      if (acceptance.documentsUnexpired) this.known.set(id, applicationId);
      else this.known.delete(id);
    }
  }
}
