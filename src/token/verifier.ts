import { createHash } from 'node:crypto';
import { compactVerify, decodeProtectedHeader, errors } from 'jose';
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
import { maxLifetime } from '../model/share-lifetime';
import { scopeOfChoice } from '../model/scope';
import { sessionKinds } from '../model/session';
import { groundsSchema } from './grounds-claim';
import { faultOfScope, scopeSchema } from './scope-claim';
import type { VerificationKey } from './key-set';
import type { Keys } from './keys';
import {
  algorithmNamed,
  ExpiredShareToken,
  knownHeaders,
  namesOf,
  scopeHeader,
  withoutNulls,
  type GenuineShareToken,
  type VerifiedShareToken,
} from './share-token';

/** Returns the current time; tests replace it. */
export type Clock = () => Date;

/** What is said of a claim that is missing, or is not what it must be. */
const faultOf = (name: string, must: string) => ({
  error: ({ input }: { readonly input?: unknown }) =>
    input === undefined ? `claim ${name} is missing` : `claim ${name} must be ${must}`,
});

/** A claim that is an id, in the canonical form of ids, so that ids can be compared as strings. */
const id = <T extends Id<string>>(name: string) =>
  z
    .string(faultOf(name, 'a UUID'))
    .refine(isUuid, `claim ${name} must be a UUID`)
    .transform((text) => toId<T>(text));

/** RFC 7519, section 2: a NumericDate counts seconds since 1970 and may have a fraction. */
const numericDate = (name: string) =>
  z.number(faultOf(name, 'a number of seconds')).min(0, `claim ${name} is before 1970`);

const claimsSchema = z.object({
  session_id: id<SessionId>('session_id'),
  from_application_id: id<ApplicationId>('from_application_id'),
  for_application_id: id<ApplicationId>('for_application_id'),
  // Tokens that predate business sessions have no kind.
  session_kind: z
    .enum(sessionKinds, `claim session_kind must be one of ${sessionKinds.join(', ')}`)
    .default('user'),
  iat: numericDate('iat'),
  nbf: numericDate('nbf').optional(),
  exp: numericDate('exp'),
  // One token names one session. Those of its key people are other sessions, with more about people:
  // they are shared only if it says so.
  linked_sessions: z.boolean('claim linked_sessions must be true or false').default(false),
  grounds: groundsSchema.optional(),
  relations: scopeSchema.optional(),
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
    /**
     * How far ahead the clock of whoever signed may be, in seconds. It holds for `iat` and `nbf`
     * (RFC 7519, section 4.1.5), and not for `exp`: a token never lives longer than it says.
     */
    private readonly leeway: number,
  ) {}

  /**
   * Verifies a token: its form, its signature by a key that may sign for its source application, its
   * claims, and that it has not expired. The calling code must check which application it is for.
   *
   * @throws ServiceError with SHARE_TOKEN_INVALID, or with KEY_SET_UNAVAILABLE if its key is unknown and the key set
   * could not be read; ExpiredShareToken. A token that is expired and also invalid gets SHARE_TOKEN_INVALID.
   */
  async verify(token: string): Promise<VerifiedShareToken> {
    const signedPart = requireOneSpelling(token);
    const key = await this.keyOf(token);
    const payload = await verifySignature(token, key);
    const now = this.clock();
    const claims = checkClaims(payload, now, this.leeway);
    if (key.applicationId && key.applicationId !== claims.from_application_id) {
      throw invalid('its key may not sign for its source application');
    }
    if (headerOf(token)[scopeHeader] && !claims.relations) {
      throw invalid('its header has relations, and the claim relations is missing');
    }
    const genuine: GenuineShareToken = {
      kind: claims.session_kind,
      sessionId: claims.session_id,
      fromApplicationId: claims.from_application_id,
      forApplicationId: claims.for_application_id,
      linkedSessions: claims.linked_sessions,
      lifetime: claims.exp - claims.iat,
      scope: scopeOfChoice(claims.relations ?? []),
      fingerprint: {
        digest: createHash('sha256').update(signedPart).digest(),
        kid: key.kid,
        jti: claims.jti === undefined ? null : normalizeJti(claims.jti),
        grounds: claims.grounds ?? null,
      },
    };
    const expiredAt = new Date(claims.exp * 1000);
    if (expiredAt <= now) throw new ExpiredShareToken(expiredAt, genuine);
    return genuine as VerifiedShareToken;
  }

  /** A key is used with one algorithm alone, whatever a token names (RFC 8725, section 3.1). */
  private async keyOf(token: string): Promise<VerificationKey> {
    const { alg, kid: named } = headerOf(token);
    const kid = named ?? undefined;
    if (kid !== undefined && typeof kid !== 'string') throw invalid('header kid must be a string');
    const algorithm = algorithmNamed(alg);
    const known = algorithm && this.keys.known(kid, algorithm);
    if (known) return known;
    // The key may be new, so the keys are read again, but not for a token that is invalid whoever signed it.
    const { exp } = this.unverifiedClaims(token);
    const found = algorithm && (await this.keys.find(kid, algorithm));
    if (found) return found;
    if (kid !== undefined && this.keys.has(kid)) {
      throw invalid('its algorithm is not that of its key');
    }
    // If they could not be read, nobody knows whether the token is genuine.
    const expired = exp * 1000 <= this.clock().getTime();
    if (algorithm && !expired && this.keys.mayHaveMore(algorithm)) {
      throw new ServiceError({
        reason: 'KEY_SET_UNAVAILABLE',
        retryAfter: this.keys.cooldown,
      });
    }
    throw invalid('no known key signed it');
  }

  /** @throws ServiceError with SHARE_TOKEN_INVALID if the claims are not those of a share token. */
  private unverifiedClaims(token: string): Claims {
    const [, payload = ''] = token.split('.');
    const claims = parseClaims(Buffer.from(payload, 'base64url'));
    return checkClaims(claims, this.clock(), this.leeway);
  }
}

/**
 * Requires the exact spelling that was signed. Base64url decoders accept several spellings of the
 * same bytes: other unused bits in the last character, padding, and characters that they skip.
 *
 * @returns the part of the token that the signature covers.
 */
function requireOneSpelling(token: string): string {
  if (/[\s"']|^bearer\b/i.test(token)) {
    throw invalid(
      'something is in it or around it that is no part of it, such as white space, quotes or "Bearer"',
      'Send the token alone.',
    );
  }
  const parts = token.split('.');
  const exact = (part: string): boolean =>
    part !== '' && Buffer.from(part, 'base64url').toString('base64url') === part;
  if (parts.length !== 3 || !parts.every(exact)) {
    throw invalid('it must be three base64url parts with dots between them');
  }
  return parts.slice(0, 2).join('.');
}

function headerOf(
  token: string,
): Readonly<Partial<Record<'alg' | 'kid' | typeof scopeHeader, unknown>>> {
  try {
    return decodeProtectedHeader(token);
  } catch {
    throw invalid('its header is not a JSON object');
  }
}

/** Verifies the signature, and returns the claims as they are: nothing is known of them yet. */
async function verifySignature(token: string, key: VerificationKey): Promise<object> {
  try {
    const { payload } = await compactVerify(token, key.key, {
      algorithms: namesOf(key.algorithm),
      crit: knownHeaders,
    });
    return parseClaims(payload);
  } catch (error) {
    if (error instanceof errors.JWSSignatureVerificationFailed) {
      throw invalid('its signature does not fit');
    }
    if (error instanceof errors.JOSENotSupported) {
      throw invalid('its header lists something in crit that this service does not know');
    }
    if (error instanceof errors.JOSEError) throw invalid('it is not a JWT');
    throw error;
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

function parseClaims(payload: Uint8Array): object {
  let claims: unknown;
  try {
    claims = JSON.parse(utf8.decode(payload));
  } catch {
    // As with what is no object.
  }
  if (typeof claims === 'object' && claims !== null && !Array.isArray(claims)) return claims;
  throw invalid('its payload is not a JSON object');
}

function checkClaims(payload: object, now: Date, leeway: number): Claims {
  const parsed = claimsSchema.safeParse(withoutNulls(payload));
  if (!parsed.success) throw invalid(parsed.error.issues.map(({ message }) => message).join(', '));
  const claims = parsed.data;
  const latest = now.getTime() / 1000 + leeway;
  if (claims.iat > latest) {
    throw invalid(
      'it was issued in the future',
      `The clocks of its signer and of this service may differ by ${leeway} s at most.`,
    );
  }
  if (claims.nbf !== undefined && claims.nbf > latest) {
    throw invalid('it is not valid yet, says its claim nbf', 'Use it later.');
  }
  if (claims.exp <= claims.iat) throw invalid('claim exp must be after iat');
  const obtainedAt = claims.grounds?.obtainedAt;
  if (obtainedAt && obtainedAt.getTime() / 1000 > claims.iat) {
    throw invalid('claim grounds.obtained_at must not be after iat');
  }
  const scopeFault =
    claims.relations && faultOfScope(claims.relations, claims.session_kind, claims.linked_sessions);
  if (scopeFault !== undefined) throw invalid(scopeFault);
  if (claims.exp - claims.iat > maxLifetime) throw invalid('it lives longer than 24 hours');
  if (claims.from_application_id === claims.for_application_id) {
    throw invalid('an application can not share with itself');
  }
  return claims;
}

function invalid(why: string, remedy?: string): ServiceError {
  return new ServiceError({
    reason: 'SHARE_TOKEN_INVALID',
    why,
    ...(remedy === undefined ? {} : { remedy }),
  });
}
