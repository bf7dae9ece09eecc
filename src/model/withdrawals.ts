import type { ApplicationId, SessionId, WithdrawalId } from './ids';
import type { SessionKind } from './session';

/** Why a session was withdrawn. */
export const withdrawalReasons = [
  'consent_withdrawn',
  'rectified',
  'reliance_ended',
  'erased',
] as const;
export type WithdrawalReason = (typeof withdrawalReasons)[number];

/** What an application has decided about its copy of a withdrawn session. */
export const withdrawalOutcomes = ['erased', 'kept', 'under_review'] as const;
export type WithdrawalOutcome = (typeof withdrawalOutcomes)[number];

/** A copy of a session that was withdrawn, directly or further up the chain, as its own application sees it. */
export interface WithdrawnCopy {
  readonly withdrawalId: WithdrawalId;
  readonly reason: WithdrawalReason;
  readonly withdrawnAt: Date;
  readonly kind: SessionKind;
  /** The copy, and the application that has it. */
  readonly sessionId: SessionId;
  readonly applicationId: ApplicationId;
  /** The session that was copied, and the application that has shared it. */
  readonly parent: { readonly sessionId: SessionId; readonly applicationId: ApplicationId };
  /** When its application was told; null: that waits. */
  readonly toldAt: Date | null;
  /** Null: its application has not answered. */
  readonly answer: WithdrawalAnswer | null;
}

/** What an application has answered. */
export interface WithdrawalAnswer {
  readonly outcome: WithdrawalOutcome;
  /** Until when it keeps the copy; null: not said. */
  readonly keptUntil: Date | null;
  readonly at: Date;
}
