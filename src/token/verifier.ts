import { createHash } from 'node:crypto';
import { decodeProtectedHeader, errors, jwtVerify, type JWTPayload } from 'jose';
import { z } from 'zod';
import {
  isUuid,
  normalizeJti,
  toId,
  type ApplicationId,
  type Id,
  type SessionId,
} from '../model/ids';
import { ServiceError } from '../model/problems';
import { sessionKinds } from '../model/session';
import type { VerificationKey } from './key-set';
import type { Keys } from './keys';
import {
  ExpiredShareToken,
  maxLifetime,
  type GenuineShareToken,
  type VerifiedShareToken,
} from './share-token';

/** Returns the current time; tests replace it. */
export type Clock = () => Date;

/** A claim that is an id, in the canonical form of ids, so that ids can be compared as strings. */
const id = <T extends Id<string>>(name: string) =>
  z
    .string(`claim ${name} must be a UUID`)
    .refine(isUuid, `claim ${name} must be a UUID`)
    .transform((text) => toId<T>(text));

/** RFC 7519, section 2: a NumericDate counts seconds since 1970 and may have a fraction. */
const numericDate = (name: string) =>
  z.number(`claim ${name} must be a number of seconds`).min(0, `claim ${name} is before 1970`);

const claimsSchema = z.object({
  session_id: id<SessionId>('session_id'),
  from_application_id: id<ApplicationId>('from_application_id'),
  for_application_id: id<ApplicationId>('for_application_id'),
  // Tokens that predate business sessions have no kind.
  session_kind: z
    .enum(sessionKinds, `claim session_kind must be one of ${sessionKinds.join(', ')}`)
    .default('user'),
  iat: numericDate('iat'),
  exp: numericDate('exp'),
  // One token names one session. Those of its key people are other sessions, with more about people:
  // they are shared only if it says so.
  linked_sessions: z.boolean('claim linked_sessions must be true or false').default(false),
  jti: z
    .string('claim jti must be a string')
    .max(255, 'claim jti has over 255 characters')
    .optional(),
});

type Claims = z.infer<typeof claimsSchema>;

/** Verifies share tokens: compact JWS with JWT claims (RFC 7515, RFC 7519), by the rules of RFC 8725. */
export class ShareTokenVerifier {
  constructor(
    private readonly keys: Keys,
    private readonly clock: Clock,
    /** How far ahead the clock of whoever signed may be, in seconds (RFC 7519, section 4.1.5). */
    private readonly leeway: number,
  ) {}

  /**
   * Verifies a token: its form, its signature by a key that may sign for its source application, its
   * claims, and that it has not expired. The calling code must check which application it is for.
   *
   * @throws ServiceError with SHARE_TOKEN_INVALID; ExpiredShareToken. A token that is expired and
   * also invalid gets SHARE_TOKEN_INVALID.
   */
  async verify(token: string): Promise<VerifiedShareToken> {
    const signedPart = requireOneSpelling(token);
    const key = await this.keyOf(token);
    const now = this.clock();
    const payload = await verifySignature(token, key, now, this.leeway);
    const claims = checkClaims(payload, key, now, this.leeway);
    const genuine: GenuineShareToken = {
      kind: claims.session_kind,
      sessionId: claims.session_id,
      fromApplicationId: claims.from_application_id,
      forApplicationId: claims.for_application_id,
      linkedSessions: claims.linked_sessions,
      fingerprint: {
        digest: createHash('sha256').update(signedPart).digest(),
        kid: key.kid,
        jti: claims.jti === undefined ? null : normalizeJti(claims.jti),
      },
    };
    const expiredAt = new Date(claims.exp * 1000);
    if (expiredAt <= now) throw new ExpiredShareToken(expiredAt, genuine);
    return genuine as VerifiedShareToken;
  }

  /** The key decides the algorithm, and not the token (RFC 8725, section 3.1). */
  private async keyOf(token: string): Promise<VerificationKey> {
    const { alg, kid } = headerOf(token);
    if (kid !== undefined && typeof kid !== 'string') throw invalid('header kid must be a string');
    const key = await this.keys.find(kid, alg);
    if (!key) throw invalid('no known key signed it');
    if (key.algorithm !== alg) throw invalid('its algorithm is not that of its key');
    return key;
  }
}

/**
 * Requires the exact spelling that was signed. Base64url decoders accept several spellings of the
 * same bytes: other unused bits in the last character, padding, and characters that they skip.
 *
 * @returns the part of the token that the signature covers.
 */
function requireOneSpelling(token: string): string {
  const parts = token.split('.');
  const exact = (part: string): boolean =>
    part !== '' && Buffer.from(part, 'base64url').toString('base64url') === part;
  if (parts.length !== 3 || !parts.every(exact)) {
    throw invalid('it must be three base64url parts with dots between them');
  }
  return parts.slice(0, 2).join('.');
}

function headerOf(token: string): { readonly alg?: unknown; readonly kid?: unknown } {
  try {
    return decodeProtectedHeader(token);
  } catch {
    throw invalid('its header is not a JSON object');
  }
}

/**
 * Verifies the signature and `nbf`. Expiry is checked later: a token that is also wrong in another
 * way must count as invalid, not as expired.
 */
async function verifySignature(
  token: string,
  key: VerificationKey,
  now: Date,
  leeway: number,
): Promise<JWTPayload> {
  try {
    const options = { algorithms: [key.algorithm], currentDate: now, clockTolerance: leeway };
    const { payload } = await jwtVerify(token, key.key, options);
    return payload;
  } catch (error) {
    if (error instanceof errors.JWTExpired) return error.payload;
    if (error instanceof errors.JWSSignatureVerificationFailed) {
      throw invalid('its signature does not fit');
    }
    if (error instanceof errors.JWTClaimValidationFailed) {
      throw invalid(`claim ${error.claim} does not hold`);
    }
    if (error instanceof errors.JOSEError) throw invalid('it is not a JWT');
    throw error;
  }
}

function checkClaims(payload: JWTPayload, key: VerificationKey, now: Date, leeway: number): Claims {
  const parsed = claimsSchema.safeParse(payload);
  if (!parsed.success) throw invalid(parsed.error.issues.map(({ message }) => message).join(', '));
  const claims = parsed.data;
  if (claims.iat > now.getTime() / 1000 + leeway) throw invalid('it was issued in the future');
  if (claims.exp <= claims.iat) throw invalid('claim exp must be after iat');
  if (claims.exp - claims.iat > maxLifetime) throw invalid('it lives longer than 24 hours');
  if (claims.from_application_id === claims.for_application_id) {
    throw invalid('an application can not share with itself');
  }
  if (key.applicationId && key.applicationId !== claims.from_application_id) {
    throw invalid('its key may not sign for its source application');
  }
  return claims;
}

function invalid(why: string): ServiceError {
  return new ServiceError({ reason: 'SHARE_TOKEN_INVALID', why });
}
