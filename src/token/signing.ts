import { randomBytes } from 'node:crypto';
import { exportJWK, generateKeyPair, generateSecret, importJWK, SignJWT, type JWK } from 'jose';
import { newId, type ApplicationId, type SessionId, type ShareTokenId } from '../model/ids';
import type { SessionKind } from '../model/session';
import type { Grounds } from '../model/grounds';
import type { Scope } from '../model/scope';
import { groundsClaim } from './grounds-claim';
import { publicHalf } from './key-set';
import { knownHeaders, scopeHeader, type Algorithm } from './share-token';

/** A key pair as two JWKs; for HS256 both are the secret itself. */
export interface SigningKey {
  /** Signs: for whoever issues share tokens, and nobody else. */
  readonly privateJwk: JWK;
  /** Verifies: goes into the JWK Set that this service reads. */
  readonly verificationJwk: JWK;
}

/** Makes a key that share tokens can be signed with. */
export async function generateSigningKey(options: {
  readonly algorithm: Algorithm;
  /** Undefined: a random one. */
  readonly kid: string | undefined;
  /** The one application that the key signs for; undefined: any. */
  readonly applicationId: ApplicationId | undefined;
}): Promise<SigningKey> {
  const { algorithm, kid = randomBytes(8).toString('hex'), applicationId } = options;
  const members = {
    kid,
    alg: algorithm,
    use: 'sig',
    ...(applicationId === undefined ? {} : { application_id: applicationId }),
  };
  const key =
    algorithm === 'HS256'
      ? await generateSecret(algorithm, { extractable: true })
      : (await generateKeyPair(algorithm, { extractable: true })).privateKey;
  const privateJwk = { ...(await exportJWK(key)), ...members };
  return { privateJwk, verificationJwk: publicHalf(privateJwk) };
}

/** What a share token is to say. */
export interface Share {
  /** The token's `jti`; undefined: a fresh one. */
  readonly id?: ShareTokenId;
  readonly sessionId: SessionId;
  readonly kind: SessionKind;
  readonly fromApplicationId: ApplicationId;
  readonly forApplicationId: ApplicationId;
  /** In seconds. */
  readonly lifetime: number;
  /** Undefined: now. Tokens count whole seconds. */
  readonly issuedAt?: Date;
  /** Whether the sessions of the key people of a business session are shared with it; undefined: no. */
  readonly includeLinkedSessions?: boolean;
  /** Why the sharing is lawful; null or undefined: not said. */
  readonly grounds?: Grounds | null;
  /** What is shared of the session, and of those of its key people; null or undefined: everything. */
  readonly scope?: Scope;
}

/** Signs a share token for a session. */
export async function signShareToken(privateJwk: JWK, share: Share): Promise<string> {
  const issuedAt = Math.floor((share.issuedAt ?? new Date()).getTime() / 1000);
  const { alg, kid } = privateJwk;
  if (!alg || !kid) throw new Error('the signing key has no alg or no kid');
  return new SignJWT({
    session_id: share.sessionId,
    session_kind: share.kind,
    from_application_id: share.fromApplicationId,
    for_application_id: share.forApplicationId,
    ...(share.includeLinkedSessions ? { linked_sessions: true } : {}),
    ...(share.grounds ? { grounds: groundsClaim(share.grounds) } : {}),
    ...(share.scope ? { relations: share.scope } : {}),
    jti: share.id ?? newId<ShareTokenId>(),
  })
    .setProtectedHeader({
      ...{ alg, kid, typ: 'JWT' },
      ...(share.scope ? { crit: [scopeHeader], [scopeHeader]: true } : {}),
    })
    .setIssuedAt(issuedAt)
    .setExpirationTime(issuedAt + share.lifetime)
    .sign(await importJWK(privateJwk, alg), { crit: knownHeaders });
}
