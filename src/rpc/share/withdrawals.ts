import { z } from 'zod';
import {
  WithdrawalOutcome as WireOutcome,
  WithdrawalReason as WireReason,
  type Withdrawal,
} from '../../gen/sessionimport/v1/session_share';
import type { ConnectionSide } from '../../model/connection-record';
import { must } from '../../model/must';
import {
  withdrawalOutcomes,
  withdrawalReasons,
  type WithdrawalOutcome,
  type WithdrawalReason,
  type WithdrawnCopy,
} from '../../model/withdrawals';
import { wireKinds } from '../wire';

const wireReasons: Readonly<Record<WithdrawalReason, WireReason>> = {
  consent_withdrawn: WireReason.WITHDRAWAL_REASON_CONSENT_WITHDRAWN,
  rectified: WireReason.WITHDRAWAL_REASON_RECTIFIED,
  reliance_ended: WireReason.WITHDRAWAL_REASON_RELIANCE_ENDED,
  erased: WireReason.WITHDRAWAL_REASON_ERASED,
};

const wireOutcomes: Readonly<Record<WithdrawalOutcome, WireOutcome>> = {
  erased: WireOutcome.WITHDRAWAL_OUTCOME_ERASED,
  kept: WireOutcome.WITHDRAWAL_OUTCOME_KEPT,
  under_review: WireOutcome.WITHDRAWAL_OUTCOME_UNDER_REVIEW,
};

/** A required value of an enum, as the model names it. */
const named = <Name extends string>(names: readonly Name[], wire: Readonly<Record<Name, number>>) =>
  z
    .number()
    .refine((value) => names.some((name) => wire[name] === value), 'is required')
    .transform((value) =>
      must(
        names.find((name) => wire[name] === value),
        'the name of a value',
      ),
    );

/** Why a session is withdrawn. */
export const reasonRule = named(withdrawalReasons, wireReasons);

/** What has become of a copy. */
export const outcomeRule = named(withdrawalOutcomes, wireOutcomes);

/** A withdrawn copy, as an application on one of the two sides sees it. */
export function wireWithdrawal(copy: WithdrawnCopy, side: ConnectionSide): Withdrawal {
  const { parent, answer } = copy;
  const isSource = side === 'source';
  return {
    withdrawalId: copy.withdrawalId,
    reason: wireReasons[copy.reason],
    withdrawnAt: copy.withdrawnAt,
    sessionId: isSource ? parent.sessionId : copy.sessionId,
    sessionKind: wireKinds[copy.kind],
    otherApplicationId: isSource ? copy.applicationId : parent.applicationId,
    sharedFromSession: isSource ? undefined : parent.sessionId,
    toldAt: copy.toldAt ?? undefined,
    outcome: answer ? wireOutcomes[answer.outcome] : WireOutcome.WITHDRAWAL_OUTCOME_UNSPECIFIED,
    keptUntil: answer?.keptUntil ?? undefined,
    answeredAt: answer?.at,
  };
}
