import {
  EraseSessionRequest,
  SessionErasureService,
  SetRetentionRequest,
  type EraseSessionResponse,
  type SetRetentionResponse,
} from '../../src/gen/sessionimport/v1/session_erasure';
import type { Tenant } from './fixtures';
import type { Harness } from './service';

/** Erases a session of a tenant. */
export function erase(
  { client }: Pick<Harness, 'client'>,
  { apiKey }: Tenant,
  sessionId: string,
): Promise<EraseSessionResponse> {
  const request = EraseSessionRequest.fromPartial({ sessionId });
  return client.call(SessionErasureService.eraseSession, apiKey, request);
}

/** Says how long a session of a tenant is kept. */
export function retain(
  { client }: Pick<Harness, 'client'>,
  { apiKey }: Tenant,
  sessionId: string,
  retention: SetRetentionRequest['retention'],
): Promise<SetRetentionResponse> {
  return client.call(
    SessionErasureService.setRetention,
    apiKey,
    SetRetentionRequest.fromPartial({ sessionId, retention }),
  );
}
