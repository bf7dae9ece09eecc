import { LRUCache } from 'lru-cache';
import type { ApplicationId, WorkflowId } from '../model/ids';
import type { Workflow } from '../store/accounts';
import type { ImportRequest } from './request';

/** The most workflows that are remembered. */
const most = 10_000;

/**
 * The workflows that wanted unexpired documents when they were last read. A group reads a workflow's rules
 * together with all other facts, so it has to know before whether it needs the expired documents as well. This
 * is only a guess, and decides nothing: if documents are missing, the group reads them afterwards.
 */
export class StrictWorkflows {
  private readonly known = new LRUCache<WorkflowId, ApplicationId>({ max: most });

  /** Whether the request's workflow is one of them. One of another application is not the request's. */
  has({ workflowId, applicationId }: ImportRequest): boolean {
    return this.known.get(workflowId) === applicationId;
  }

  /** Remembers what was just read. */
  learn(workflows: ReadonlyMap<WorkflowId, Workflow>): void {
    for (const [id, { applicationId, acceptance }] of workflows) {
      if (acceptance.documentsUnexpired) this.known.set(id, applicationId);
      else this.known.delete(id);
    }
  }
}
