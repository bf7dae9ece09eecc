import { databaseFailure, isOutOfReach } from '../../db/errors';
import { mustHold } from '../../model/must';
import type { Privilege } from '../../model/privileges';
import { CallAbandoned } from '../../model/problems';
import { inSpan } from '../../telemetry/spans';
import type { CallContext } from '../context';
import { requirePrivilege, type Caller, type Credentials } from './callers';

/** What a call has to pass before its work begins, in two steps. */
export class Gate {
  constructor(
    private readonly context: CallContext,
    private readonly credentials: Credentials,
    private readonly privilege: Privilege,
  ) {}

  /**
   * Finds out who calls.
   *
   * @throws ServiceError with what `Callers.authenticate` throws.
   */
  async authenticate(): Promise<Caller> {
    const { annotate } = this.context;
    const caller = await inSpan('authenticate', () => this.identify());
    const { applicationId, actor } = caller;
    annotate({
      application_id: applicationId,
      ...(actor.apiKeyId === null ? { gateway: actor.gateway } : { api_key_id: actor.apiKeyId }),
    });
    return caller;
  }

  /**
   * Requires that the credentials of a stream are still valid, and still have the privilege. While the database is out
   * of reach, that can't be checked, and the stream goes on: it gets no events from there either.
   *
   * @throws ServiceError with what `Callers.authenticate` throws, or PRIVILEGE_MISSING.
   */
  async checkAgain(caller: Caller): Promise<void> {
    try {
      const now = await this.identify();
      mustHold(now.applicationId === caller.applicationId, 'a key stays with its application');
      requirePrivilege(now, this.privilege);
    } catch (error) {
      if (!isOutOfReach(databaseFailure(error))) throw error;
    }
  }

  /** Finds out who calls. From then on, the peer is known. */
  private async identify(): Promise<Caller> {
    const { callers, known } = this.context;
    const caller = await callers.authenticate(this.credentials);
    known.add(this.credentials.peer);
    return caller;
  }

  /**
   * Requires that a caller may make the call, now, and is still waiting for it.
   *
   * @throws ServiceError with RATE_LIMITED or PRIVILEGE_MISSING.
   * @throws CallAbandoned
   */
  authorize(caller: Caller): void {
    // Calls that lack the privilege count as well: each can leave a record.
    this.context.rateLimiter.take(caller.applicationId);
    this.context.mix.add(caller.applicationId);
    requirePrivilege(caller, this.privilege);
    if (this.context.signal.aborted) throw new CallAbandoned();
  }
}
