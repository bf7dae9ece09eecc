import { requirePrivilege, type Caller, type Privilege } from './callers';
import { inSpan } from '../../telemetry/spans';
import type { Context } from '../context';
import type { Call } from './unary';

/**
 * Finds out who makes a call, and whether it may: what every RPC begins with.
 *
 * @throws ServiceError with what `Callers.authenticate` throws, PRIVILEGE_MISSING or RATE_LIMITED.
 */
export async function authorize(
  call: Call<unknown>,
  context: Context,
  privilege: Privilege,
): Promise<Caller> {
  const caller = await identify(call, context);
  admit(caller, context, privilege);
  return caller;
}

/**
 * The first half of {@link authorize}: finds out who makes a call.
 *
 * @throws ServiceError with what `Callers.authenticate` throws.
 */
export async function identify(call: Call<unknown>, { callers }: Context): Promise<Caller> {
  const caller = await inSpan('authenticate', () => callers.authenticate(call.credentials));
  call.note({ application_id: caller.applicationId, ...actorFacts(caller) });
  return caller;
}

/**
 * The second half of {@link authorize}: requires that a caller may make a call, now.
 *
 * @throws ServiceError with PRIVILEGE_MISSING or RATE_LIMITED.
 */
export function admit(caller: Caller, { rateLimiter }: Context, privilege: Privilege): void {
  requirePrivilege(caller, privilege);
  rateLimiter.admit(caller.applicationId);
}

function actorFacts({ actor }: Caller): Record<string, string> {
  return actor.apiKeyId === null ? { gateway: actor.gateway } : { api_key_id: actor.apiKeyId };
}
