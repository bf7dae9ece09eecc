import { expect } from 'chai';
import {
  ListWorkflowsRequest,
  SessionImportService,
  SessionKind,
  type ListWorkflowsResponse,
} from '../../src/gen/sessionimport/v1/session_import';
import type { WorkflowId } from '../../src/model/ids';
import { createApiKey, createWorkflow } from '../../src/store/accounts';
import { failureOf } from '../support/client';
import { createTenant, type Tenant } from '../support/fixtures';
import { startHarness, type Harness } from '../support/service';

describe('ListWorkflows', () => {
  let harness: Harness;
  let mine: Tenant;
  before(async () => {
    harness = await startHarness();
    mine = await createTenant(harness.db);
  });
  after(() => harness.stop());

  const list = (
    request: Partial<ListWorkflowsRequest> = {},
    apiKey = mine.apiKey,
  ): Promise<ListWorkflowsResponse> =>
    harness.client.call(
      SessionImportService.listWorkflows,
      apiKey,
      ListWorkflowsRequest.fromPartial(request),
    );

  /** The ids on all pages. */
  async function idsOf(request: Partial<ListWorkflowsRequest>): Promise<string[]> {
    const ids: string[] = [];
    let pageToken = '';
    do {
      const page = await list({ ...request, pageToken });
      ids.push(...page.workflows.map(({ workflowId }) => workflowId));
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    return ids;
  }

  it('shows the workflows of the caller, and what is known of each, but none of another application', async () => {
    const { applicationId, workflows } = mine;
    const since = Date.now();
    const id = await createWorkflow(harness.db, {
      applicationId,
      kind: 'business',
      name: 'KYB 🏢',
    });
    const { workflows: found } = await list();
    expect(found.map(({ workflowId }) => workflowId)).to.have.members([
      ...[workflows.user, workflows.business, id],
    ]);
    const { createdAt, ...shown } = found.at(-1) ?? {};
    expect(shown).to.deep.equal({
      workflowId: id,
      sessionKind: SessionKind.SESSION_KIND_BUSINESS,
      name: 'KYB 🏢',
      version: 1,
      acceptance: undefined,
    });
    expect(Number(createdAt)).to.be.within(since - 1, Date.now());
    const others = await list({}, harness.target.apiKey);
    expect(others.workflows.map(({ workflowId }) => workflowId)).to.have.members(
      Object.values(harness.target.workflows),
    );
  });

  it('goes through all of them in pages, oldest first, those of one kind or all', async () => {
    const { applicationId } = (mine = await createTenant(harness.db));
    const made: Record<'user' | 'business', WorkflowId[]> = {
      user: [mine.workflows.user],
      business: [mine.workflows.business],
    };
    for (let count = 0; count < 8; count++) {
      const kind = count % 3 === 0 ? 'business' : 'user';
      made[kind].push(
        await createWorkflow(harness.db, { applicationId, kind, name: `number ${count}` }),
      );
    }
    const all = [...made.user, ...made.business].sort();
    for (const pageSize of [1, 3, 10, 500]) {
      expect(await idsOf({ pageSize })).to.deep.equal(all);
      const sessionKind = SessionKind.SESSION_KIND_USER;
      expect(await idsOf({ pageSize, sessionKind })).to.deep.equal(made.user);
    }
  });

  it('takes the privilege to import, and says what is wrong with a request', async () => {
    const { apiKey } = await createApiKey(harness.db, {
      applicationId: mine.applicationId,
      name: 'reader',
      privileges: ['read:sessions'],
      expiresAt: null,
    });
    expect((await failureOf(list({}, apiKey))).reason).to.equal('PRIVILEGE_MISSING');
    for (const [field, request] of [
      ['session_kind', { sessionKind: SessionKind.UNRECOGNIZED }],
      ['page_size', { pageSize: -1 }],
      ['page_token', { pageToken: 'made up' }],
    ] as const) {
      const failure = await failureOf(list(request));
      expect(failure.reason).to.equal('INVALID_REQUEST');
      expect(failure.badRequest?.fieldViolations.map((each) => each.field)).to.deep.equal([field]);
    }
  });
});
