import type { ImportSessionRequest } from '../../src/gen/sessionimport/v1/session_import';
import type { SessionId } from '../../src/model/ids';
import type { SessionKind } from '../../src/model/session';
import { signShareToken } from '../../src/token/signing';
import { failureOf } from './client';
import type { Tenant } from './fixtures';
import type { Harness } from './service';

const grounds = {
  kind: 'consent',
  purpose: null,
  reference: null,
  obtainedAt: null,
  evidence: null,
} as const;

/** What is asked in a test, besides the kind. */
export interface Asked {
  readonly linked?: boolean;
  readonly trustReview?: boolean;
  readonly ttl?: number;
  readonly grounds?: boolean;
  readonly relations?: readonly string[];
}

/** A request to import, with a token that was signed elsewhere. */
export async function requestFor(
  { signer, source }: Harness,
  target: Tenant,
  kind: SessionKind,
  sessionId: SessionId,
  asked: Asked = {},
): Promise<Partial<ImportSessionRequest>> {
  return {
    shareToken: await signShareToken(signer.privateJwk, {
      sessionId,
      kind,
      fromApplicationId: source.applicationId,
      forApplicationId: target.applicationId,
      lifetime: asked.ttl ?? 600,
      includeLinkedSessions: asked.linked ?? false,
      ...(asked.grounds ? { grounds } : {}),
      scope: asked.relations ?? null,
    }),
    workflowId: target.workflows[kind],
    trustReview: asked.trustReview ?? false,
    ...(asked.linked
      ? { includeLinkedSessions: true, linkedWorkflowId: target.workflows.user }
      : {}),
  };
}

/** The reason of a call that fails, with the term; undefined: it succeeds. */
export async function refusal(call: Promise<unknown>): Promise<string | undefined> {
  const error = await call.then(
    () => undefined,
    (failure: unknown) => failure as Error,
  );
  if (!error) return undefined;
  const { reason, metadata } = await failureOf(Promise.reject(error));
  return [reason, metadata['term']].filter((part) => part !== undefined).join(' ');
}
