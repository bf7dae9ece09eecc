import type { ApplicationId, SessionId } from '../model/ids';
import { ServiceError } from '../model/problems';
import type { Scope } from '../model/scope';
import type { SessionKind, TokenFingerprint } from '../model/session';

declare const verified: unique symbol;

/**
 * The content of a share token whose signature and claims are all valid, so that it is known to
 * come from its source application. It may have expired.
 */
export interface GenuineShareToken {
  readonly kind: SessionKind;
  readonly sessionId: SessionId;
  readonly fromApplicationId: ApplicationId;
  readonly forApplicationId: ApplicationId;
  /** Whether the sessions of the key people of a business session are shared with it. */
  readonly linkedSessions: boolean;
  /** How long it is valid in all, in seconds. */
  readonly lifetime: number;
  /** What is shared of the session, and of those of its key people. */
  readonly scope: Scope;
  readonly fingerprint: TokenFingerprint;
}

/**
 * A share token that is genuine and has not expired. Only `ShareTokenVerifier` makes one, so having
 * one proves that its source application shared the session with `forApplicationId`.
 */
export interface VerifiedShareToken extends GenuineShareToken {
  readonly [verified]: true;
}

/** The token is genuine but has expired. Its content is kept, to record the refusal. */
export class ExpiredShareToken extends ServiceError {
  constructor(
    expiredAt: Date,
    readonly token: GenuineShareToken,
  ) {
    super({ reason: 'SHARE_TOKEN_EXPIRED', expiredAt });
  }
}

/**
 * The header parameter of tokens that do not share everything. It is listed in `crit`, so a service that does not know
 * it refuses the token (RFC 7515, section 4.1.11). Otherwise an older version would ignore the claim `relations`, and
 * copy what is withheld.
 */
export const scopeHeader = 'relations' as const;

/** The parameters that a header may list in `crit`; true: only if they are signed. */
export const knownHeaders = { [scopeHeader]: true };

/** The signature algorithms that share tokens may use (RFC 7518, section 3.1; RFC 8037). */
export const algorithms = ['EdDSA', 'ES256', 'RS256', 'PS256', 'HS256'] as const;
export type Algorithm = (typeof algorithms)[number];

/** What RFC 9864 (section 2.2) calls EdDSA with the curve Ed25519, the only one that is used here. */
const ed25519 = 'Ed25519';

/** The algorithm that a key or a token names in `alg`; undefined: none that share tokens may use. */
export function algorithmNamed(alg: unknown): Algorithm | undefined {
  return alg === ed25519 ? 'EdDSA' : algorithms.find((algorithm) => algorithm === alg);
}

/** How tokens name an algorithm in `alg`. */
export function namesOf(algorithm: Algorithm): string[] {
  return algorithm === 'EdDSA' ? [algorithm, ed25519] : [algorithm];
}

/**
 * An object without its members that are null: whoever writes null for a claim has no value for it. Anything else
 * stays as it is.
 */
export function withoutNulls(claims: unknown): unknown {
  if (typeof claims !== 'object' || claims === null || Array.isArray(claims)) return claims;
  return Object.fromEntries(Object.entries(claims).filter(([, value]) => value !== null));
}
