import { requirePrivilege, type Caller, type Privilege } from '../auth/callers';
import { inSpan } from '../telemetry/tracing';
import type { Context } from './context';
import type { Call } from './unary';

/**
 * Finds out who makes a call, and whether it may: what every RPC begins with.
 *
 * @throws ServiceError with what `Callers.authenticate` throws, PRIVILEGE_MISSING or RATE_LIMITED.
 */
export async function authorize(
  call: Call<unknown>,
  { callers, rateLimiter }: Context,
  privilege: Privilege,
): Promise<Caller> {
  const caller = await inSpan('authenticate', () => callers.authenticate(call.credentials));
  call.note({ application_id: caller.applicationId, ...actorFacts(caller) });
  requirePrivilege(caller, privilege);
  rateLimiter.admit(caller.applicationId);
  return caller;
}

function actorFacts({ actor }: Caller): Record<string, string> {
  return actor.apiKeyId === null ? { gateway: actor.gateway } : { api_key_id: actor.apiKeyId };
}
