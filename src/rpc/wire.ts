import {
  SessionKind as WireKind,
  SessionStatus as WireStatus,
} from '../gen/sessionimport/v1/session_import';
import { sessionKinds, type SessionKind, type SessionStatus } from '../model/session';

/** The kinds of sessions, as the contract writes them. */
export const wireKinds: Readonly<Record<SessionKind, WireKind>> = {
  user: WireKind.SESSION_KIND_USER,
  business: WireKind.SESSION_KIND_BUSINESS,
};

/** The values that a request may have as its kind filter. Unspecified means any kind. */
export const wantedKinds: readonly WireKind[] = [
  WireKind.SESSION_KIND_UNSPECIFIED,
  ...Object.values(wireKinds),
];

/** The kind that a request wants; undefined: any. */
export function wantedKind(wanted: number): SessionKind | undefined {
  return sessionKinds.find((kind) => (wireKinds[kind] as number) === wanted);
}

/** The statuses of sessions, as the contract writes them. */
export const wireStatuses: Readonly<Record<SessionStatus, WireStatus>> = {
  'Not Started': WireStatus.SESSION_STATUS_NOT_STARTED,
  'In Progress': WireStatus.SESSION_STATUS_IN_PROGRESS,
  'Awaiting User': WireStatus.SESSION_STATUS_AWAITING_USER,
  'In Review': WireStatus.SESSION_STATUS_IN_REVIEW,
  Approved: WireStatus.SESSION_STATUS_APPROVED,
  Declined: WireStatus.SESSION_STATUS_DECLINED,
  Resubmitted: WireStatus.SESSION_STATUS_RESUBMITTED,
  Expired: WireStatus.SESSION_STATUS_EXPIRED,
  'Kyc Expired': WireStatus.SESSION_STATUS_KYC_EXPIRED,
  Abandoned: WireStatus.SESSION_STATUS_ABANDONED,
};
