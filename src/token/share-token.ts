import type { ApplicationId, SessionId } from '../model/ids';
import { ServiceError } from '../model/problems';
import type { SessionKind, TokenFingerprint } from '../model/session';

declare const verified: unique symbol;

/**
 * What a share token says whose signature and every claim are good, so that it is known to come from
 * its source application. It may have expired.
 */
export interface GenuineShareToken {
  readonly kind: SessionKind;
  readonly sessionId: SessionId;
  readonly fromApplicationId: ApplicationId;
  readonly forApplicationId: ApplicationId;
  /** Whether the sessions of the key people of a business session are shared with it. */
  readonly linkedSessions: boolean;
  readonly fingerprint: TokenFingerprint;
}

/**
 * A share token that is genuine and has not expired. Only `ShareTokenVerifier` makes one, so having
 * one proves that its source application shared the session with `forApplicationId`.
 */
export interface VerifiedShareToken extends GenuineShareToken {
  readonly [verified]: true;
}

/** A token was good once. What it says is known all the same, for the record. */
export class ExpiredShareToken extends ServiceError {
  constructor(
    expiredAt: Date,
    readonly token: GenuineShareToken,
  ) {
    super({ reason: 'SHARE_TOKEN_EXPIRED', expiredAt });
  }
}

/** The longest time that a share token may be valid, in seconds. */
export const longestLifetime = 24 * 60 * 60;

/** The signature algorithms that share tokens may use (RFC 7518, section 3.1; RFC 8037). */
export const algorithms = ['EdDSA', 'ES256', 'RS256', 'PS256', 'HS256'] as const;
export type Algorithm = (typeof algorithms)[number];
