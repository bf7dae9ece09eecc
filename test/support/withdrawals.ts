import {
  AcknowledgeWithdrawalRequest,
  ListWithdrawalsRequest,
  SessionShareService,
  WithdrawalReason,
  WithdrawSessionRequest,
  type AcknowledgeWithdrawalResponse,
  type Withdrawal,
  type WithdrawalOutcome,
  type WithdrawSessionResponse,
} from '../../src/gen/sessionimport/v1/session_share';
import type { ConnectionSide } from '../../src/model/connection-record';
import { wireSides } from './connection-calls';
import type { Tenant } from './fixtures';
import type { Harness } from './service';

/** Withdraws a session of a tenant. */
export function withdraw(
  { client }: Pick<Harness, 'client'>,
  { apiKey }: Tenant,
  sessionId: string,
  reason = WithdrawalReason.WITHDRAWAL_REASON_CONSENT_WITHDRAWN,
): Promise<WithdrawSessionResponse> {
  const request = WithdrawSessionRequest.fromPartial({ sessionId, reason });
  return client.call(SessionShareService.withdrawSession, apiKey, request);
}

/** Answers the withdrawals that have reached a copy of a tenant. */
export function acknowledge(
  { client }: Pick<Harness, 'client'>,
  { apiKey }: Tenant,
  sessionId: string,
  outcome: WithdrawalOutcome,
  keptUntil?: Date,
): Promise<AcknowledgeWithdrawalResponse> {
  return client.call(
    SessionShareService.acknowledgeWithdrawal,
    apiKey,
    AcknowledgeWithdrawalRequest.fromPartial({
      sessionId,
      outcome,
      ...(keptUntil ? { keptUntil } : {}),
    }),
  );
}

/** Lists all withdrawn copies of a tenant, or those of its sessions. */
export async function withdrawalsOf(
  { client }: Pick<Harness, 'client'>,
  { apiKey }: Pick<Tenant, 'apiKey'>,
  side: ConnectionSide,
  request: Partial<ListWithdrawalsRequest> = {},
): Promise<Withdrawal[]> {
  const all: Withdrawal[] = [];
  let pageToken = '';
  do {
    const page = await client.call(
      SessionShareService.listWithdrawals,
      apiKey,
      ListWithdrawalsRequest.fromPartial({ ownSide: wireSides[side], ...request, pageToken }),
    );
    all.push(...page.withdrawals);
    pageToken = page.nextPageToken;
  } while (pageToken !== '');
  return all;
}
