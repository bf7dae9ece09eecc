import { createHmac, createPublicKey } from 'node:crypto';
import { expect } from 'chai';
import * as fc from 'fast-check';
import { importJWK, SignJWT, UnsecuredJWT, type JWK, type JWTPayload } from 'jose';
import { toBinary, type SessionId } from '../../src/model/ids';
import { SessionKind as WireKind } from '../../src/gen/sessionimport/v1/session_import';
import { ServiceError } from '../../src/model/problems';
import { createLogger } from '../../src/telemetry/log';
import { keySource } from '../../src/token/key-source';
import { Keys } from '../../src/token/keys';
import { algorithms } from '../../src/token/share-token';
import { generateSigningKey } from '../../src/token/signing';
import { ShareTokenVerifier } from '../../src/token/verifier';
import { failureOf, sessionOf } from '../support/client';
import { createSession, createTenant } from '../support/fixtures';
import { without } from '../support/helpers';
import { select } from '../support/rows';
import { startHarness, type Harness } from '../support/service';

/** The service's clock stands still, so that one second more or less is exact. */
const now = new Date('2026-03-01T12:00:00.000Z');
const seconds = now.getTime() / 1000;

/** How far ahead the clocks of signers may be, in seconds: SHARE_TOKEN_CLOCK_SKEW's default. */
const clockSkew = 10;

describe('a share token', () => {
  let harness: Harness;
  let sessionId: SessionId;
  before(async () => {
    harness = await startHarness({ clock: () => now, logLevel: 'silent' });
  });
  after(() => harness.stop());
  beforeEach(async () => {
    sessionId = await createSession(harness.db, harness.source, 'user');
  });

  const claims = (): JWTPayload => ({
    session_id: sessionId,
    from_application_id: harness.source.applicationId,
    for_application_id: harness.target.applicationId,
    session_kind: 'user',
    iat: seconds - 60,
    exp: seconds + 600,
  });

  async function sign(
    payload: JWTPayload,
    key: JWK = harness.signer.privateJwk,
    header: Readonly<Record<string, unknown>> = {},
  ): Promise<string> {
    const { alg = '', kid = '' } = key;
    return new SignJWT(payload)
      .setProtectedHeader({ alg, kid, ...header })
      .sign(await importJWK(key, alg));
  }

  const use = (shareToken: string) =>
    harness.client.import(harness.target.apiKey, {
      shareToken,
      workflowId: harness.target.workflows.user,
    });

  async function expectRefused(shareToken: string, reason = 'SHARE_TOKEN_INVALID'): Promise<void> {
    const failure = await failureOf(use(shareToken));
    expect(failure).to.include({ code: 'UNAUTHENTICATED', reason });
    expect(failure.message).not.to.include(shareToken);
  }

  async function expectNothingImported(): Promise<void> {
    const ledger = 'SELECT * FROM session_imports WHERE source_session_id = ?';
    expect(await select(ledger, [toBinary(sessionId)])).to.deep.equal([]);
  }

  describe('gets in', () => {
    /** Imports a fresh session with the claims. */
    async function expectIn(
      payload: object,
      header: Readonly<Record<string, unknown>> = {},
    ): Promise<void> {
      const fresh = await createSession(harness.db, harness.source, 'user');
      const answer = await use(await signRaw({ ...payload, session_id: fresh }, header));
      expect(sessionOf(answer).sharedFromSession).to.equal(fresh);
    }

    it('without a kid, if one key alone has its algorithm', async () => {
      for (const kid of [undefined, null]) {
        await expectIn(claims(), { kid });
      }
    });

    for (const algorithm of algorithms) {
      it(`signed with ${algorithm}`, async () => {
        const key = await harness.signer.addKey({ algorithm });
        const answer = await use(await sign(claims(), key));
        expect(sessionOf(answer).sharedFromSession).to.equal(sessionId);
      });
    }

    it('signed by one of several keys of one kid, each for an algorithm of its own', async () => {
      const { signer } = harness;
      const kid = 'shared';
      const keys = [
        await signer.addKey({ algorithm: 'ES256', kid }),
        await signer.addKey({ algorithm: 'RS256', kid }),
      ];
      for (const key of keys) {
        const fresh = await createSession(harness.db, harness.source, 'user');
        const answer = await use(await sign({ ...claims(), session_id: fresh }, key));
        expect(sessionOf(answer).sharedFromSession).to.equal(fresh);
      }
    });

    it('whose header calls EdDSA by its curve (RFC 9864)', async () => {
      await expectIn(claims(), { alg: 'Ed25519' });
    });

    it('in the form that the field uses: HS256, five claims and nothing more, as kind user', async () => {
      const key = await harness.signer.addKey({ algorithm: 'HS256' });
      const answer = await use(await sign(without(claims(), 'session_kind'), key));
      expect(sessionOf(answer).sessionKind).to.equal(WireKind.SESSION_KIND_USER);
    });

    it('signed by the key of its own source application', async () => {
      const { applicationId } = harness.source;
      const key = await harness.signer.addKey({ algorithm: 'ES256', applicationId });
      expect(await use(await sign(claims(), key))).to.have.property('session');
    });

    it('with ids in upper case, and with claims that mean nothing here', async () => {
      const payload = { ...claims(), session_id: sessionId.toUpperCase(), iss: 'a', aud: 'b' };
      expect(sessionOf(await use(await sign(payload))).sharedFromSession).to.equal(sessionId);
    });

    it('in its last second, and issued this very second', async () => {
      const answer = await use(await sign({ ...claims(), iat: seconds, exp: seconds + 1 }));
      expect(answer).to.have.property('session');
    });

    it('whose issuer’s clock is ahead by no more than the allowance', async () => {
      for (const ahead of [0.2, 2, clockSkew]) {
        const moment = seconds + ahead;
        await expectIn({ ...claims(), iat: moment, nbf: moment, exp: moment + 600 });
      }
    });

    it('with null for claims that it may leave out', async () => {
      for (const claim of ['session_kind', 'jti', 'linked_sessions', 'nbf', 'iss']) {
        await expectIn({ ...claims(), [claim]: null });
      }
    });

    it('that lives for 24 hours', async () => {
      const payload = { ...claims(), iat: seconds - 60, exp: seconds - 60 + 24 * 3600 };
      expect(await use(await sign(payload))).to.have.property('session');
    });
  });

  describe('stays out', () => {
    afterEach(expectNothingImported);

    it('unsigned (alg none)', async () => {
      await expectRefused(new UnsecuredJWT(claims()).encode());
      const [, payload = ''] = (await sign(claims())).split('.');
      for (const alg of ['none', 'None', 'NONE']) {
        const header = { alg, kid: harness.signer.privateJwk.kid };
        await expectRefused(`${encode(header)}.${payload}.`);
        await expectRefused(`${encode(header)}.${payload}.AA`);
      }
    });

    it('signed with HS256 and the bytes of a public key', async () => {
      const rsa = await harness.signer.addKey({ algorithm: 'RS256' });
      const publicKey = createPublicKey({ key: rsa as never, format: 'jwk' });
      const forms = [
        publicKey.export({ type: 'spki', format: 'pem' }),
        publicKey.export({ type: 'spki', format: 'der' }),
        publicKey.export({ type: 'pkcs1', format: 'pem' }),
        JSON.stringify({ kty: rsa.kty, n: rsa.n, e: rsa.e }),
        Buffer.from(rsa.n ?? '', 'base64url'),
      ];
      for (const secret of forms) {
        const signedPart = `${encode({ alg: 'HS256', kid: rsa.kid })}.${encode(claims())}`;
        const mac = createHmac('sha256', secret).update(signedPart).digest('base64url');
        await expectRefused(`${signedPart}.${mac}`);
      }
    });

    it('whose algorithm is not that of its key, though the key could', async () => {
      const key = await harness.signer.addKey({ algorithm: 'RS256' });
      const { message } = await failureOf(use(await sign(claims(), { ...key, alg: 'PS256' })));
      expect(message).to.include('its algorithm is not that of its key');
    });

    it('signed by the key of another application', async () => {
      const other = await createTenant(harness.db);
      const { applicationId } = other;
      const key = await harness.signer.addKey({ algorithm: 'EdDSA', applicationId });
      await expectRefused(await sign(claims(), key));
    });

    it('signed by a key that nobody knows, under a new kid or a known one', async () => {
      const { privateJwk } = await generateSigningKey({
        algorithm: 'EdDSA',
        kid: undefined,
        applicationId: undefined,
      });
      await expectRefused(await sign(claims(), privateJwk));
      const kid = harness.signer.privateJwk.kid ?? '';
      await expectRefused(await sign(claims(), { ...privateJwk, kid }));
    });

    it('without a kid, if several keys have its algorithm', async () => {
      const second = await harness.signer.addKey({ algorithm: 'EdDSA' });
      // The service reads the file again when it is asked for a key that it does not know.
      await expectRefused(await sign(without(claims(), 'exp'), second));
      await expectRefused(await sign(claims(), harness.signer.privateJwk, { kid: undefined }));
    });

    it('expired by a second, and the answer says since when', async () => {
      const shareToken = await sign({ ...claims(), exp: seconds - 1 });
      await expectRefused(shareToken, 'SHARE_TOKEN_EXPIRED');
      expect((await failureOf(use(shareToken))).metadata).to.deep.equal({
        expired_at: new Date((seconds - 1) * 1000).toISOString(),
      });
    });

    it('expired and wrong in another way: it is invalid first', async () => {
      const incomplete = without(claims(), 'for_application_id');
      await expectRefused(await sign({ ...incomplete, exp: seconds - 1 }));
    });

    it('issued in the future, if only by a second more than clocks may differ', async () => {
      const shareToken = await sign({ ...claims(), iat: seconds + clockSkew + 1 });
      const { message } = await failureOf(use(shareToken));
      expect(message).to.match(/it was issued in the future\. The clocks .* by 10 s at most/);
    });

    it('not valid yet (nbf), if only by a second more than clocks may differ', async () => {
      const shareToken = await sign({ ...claims(), nbf: seconds + clockSkew + 1 });
      const { message } = await failureOf(use(shareToken));
      expect(message).to.match(/not valid yet, says its claim nbf\. Use it later\.$/);
    });

    it('in the very second in which it expires (RFC 7519: on or after), however much clocks may differ', async () => {
      await expectRefused(await sign({ ...claims(), exp: seconds }), 'SHARE_TOKEN_EXPIRED');
    });

    it('with something around it, and is told so', async () => {
      const good = await sign(claims());
      for (const other of [
        ` ${good}`,
        `${good}\n`,
        `Bearer ${good}`,
        `bearer:${good}`,
        `"${good}"`,
      ]) {
        const { reason, message } = await failureOf(use(other));
        expect(reason).to.equal('SHARE_TOKEN_INVALID');
        expect(message).to.match(/white space, quotes or "Bearer"\. Send the token alone\.$/);
      }
    });

    it('that lives a second longer than 24 hours', async () => {
      await expectRefused(await sign({ ...claims(), exp: seconds - 60 + 24 * 3600 + 1 }));
    });

    it('that ends before it begins', async () => {
      await expectRefused(await sign({ ...claims(), iat: seconds - 60, exp: seconds - 61 }));
    });

    it('of an application for itself', async () => {
      const from = harness.target.applicationId;
      await expectRefused(await sign({ ...claims(), from_application_id: from }));
      const upper = from.toUpperCase();
      await expectRefused(await sign({ ...claims(), from_application_id: upper }));
    });

    const wrongValues: Readonly<Record<string, readonly unknown[]>> = {
      session_id: [1, true, '', 'x', {}, [], ['a'], '0'.repeat(36)],
      from_application_id: [1, true, '', 'x', {}, []],
      for_application_id: [1, true, '', 'x', {}, []],
      session_kind: [1, true, '', 'USER', 'company', {}, ['user']],
      iat: ['1', true, '', {}, [], -1],
      nbf: ['1', true, '', {}, [], -1],
      exp: ['9999999999', true, '', {}, [], 1e300],
      jti: [1, true, {}, [], 'x'.repeat(256)],
      linked_sessions: [0, 1, '', 'true', {}, [], [true]],
    };
    for (const [claim, values] of Object.entries(wrongValues)) {
      it(`with a wrong ${claim}`, async () => {
        for (const value of values) {
          await expectRefused(await signRaw({ ...claims(), [claim]: value }));
        }
      });
      if (['session_kind', 'nbf', 'jti', 'linked_sessions'].includes(claim)) continue;
      it(`without ${claim}, or with null for it`, async () => {
        for (const none of [undefined, null]) {
          const { message } = await failureOf(use(await signRaw({ ...claims(), [claim]: none })));
          expect(message).to.include(`invalid: claim ${claim} is missing.`);
        }
      });
    }

    it('whose payload is no JSON object, though well signed', async () => {
      for (const payload of ['[]', '"x"', '1', 'null', '{', '']) {
        await expectRefused(await signText(payload));
      }
    });

    it('that asks for an extension which nobody understands (crit)', async () => {
      const shareToken = await signText(JSON.stringify(claims()), { crit: ['exp'], exp: 1 });
      await expectRefused(shareToken);
    });

    it('written in any other way than the one that was signed', async () => {
      const good = await sign(claims());
      const [header = '', payload = '', signature = ''] = good.split('.');
      const others = [
        ` ${good}`,
        `${good} `,
        `${good}=`,
        `${good}==`,
        `${good}\n`,
        `${good}.`,
        `.${good}`,
        `${header}.${payload}`,
        `${header}..${signature}`,
        `${header}.${payload}.${signature.slice(0, 10)} ${signature.slice(10)}`,
        good.replaceAll('_', '/').replaceAll('-', '+') + (/[-_]/.test(good) ? '' : '+'),
        // The last character of 64 bytes has four bits that no byte needs.
        ...[1, 2, 4, 8].map((bit) => good.slice(0, -1) + flipBits(signature.at(-1) ?? '', bit)),
      ];
      for (const other of others) await expectRefused(other);
    });

    it('changed at random, a thousand times', async () => {
      const good = await sign(claims());
      const keys = await Keys.open(
        keySource(harness.signer.jwks),
        createLogger({ level: 'silent', format: 'json' }, { write: () => undefined }),
        new AbortController().signal,
      );
      const verifier = new ShareTokenVerifier(keys, () => now, clockSkew);
      let tried = 0;
      const change = fc.oneof(
        fc.tuple(fc.constant('replace'), fc.nat(good.length - 1), anyCharacter()),
        fc.tuple(fc.constant('insert'), fc.nat(good.length), anyCharacter()),
        fc.tuple(fc.constant('delete'), fc.nat(good.length - 1), fc.constant('')),
        fc.tuple(fc.constant('cut'), fc.nat(good.length - 1), fc.constant('')),
        fc.tuple(fc.constant('swap'), fc.nat(good.length - 2), fc.constant('')),
      );
      await fc.assert(
        fc.asyncProperty(change, async ([how, at, character]) => {
          const changed = applyChange(good, how, at, character);
          fc.pre(changed !== good && changed !== '');
          const error: unknown = await verifier.verify(changed).catch((thrown: unknown) => thrown);
          expect(error).to.be.instanceOf(ServiceError);
          expect((error as ServiceError).problem.reason).to.equal('SHARE_TOKEN_INVALID');
          // Calls use the same kind of verifier, and are slow: so only each tenth token is also sent.
          if (tried++ % 10 > 0) return;
          const { reason } = await failureOf(use(changed));
          expect(reason).to.equal('SHARE_TOKEN_INVALID');
        }),
        { numRuns: 1_000 },
      );
      keys.close();
    });
  });

  /** Signs claims that jose would refuse to sign. */
  const signRaw = (payload: object, header: Readonly<Record<string, unknown>> = {}) =>
    signText(JSON.stringify(payload), header);

  async function signText(
    payload: string,
    header: Readonly<Record<string, unknown>> = {},
  ): Promise<string> {
    const { privateJwk } = harness.signer;
    const { subtle } = globalThis.crypto;
    const key = await subtle.importKey(
      'jwk',
      { ...privateJwk, use: 'sig' } as never,
      'Ed25519',
      false,
      ['sign'],
    );
    const full = { alg: 'EdDSA', kid: privateJwk.kid, ...header };
    const signedPart = `${encode(full)}.${Buffer.from(payload).toString('base64url')}`;
    const signature = await subtle.sign('Ed25519', key, Buffer.from(signedPart));
    return `${signedPart}.${Buffer.from(signature).toString('base64url')}`;
  }
});

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

function anyCharacter(): fc.Arbitrary<string> {
  return fc.oneof(
    { weight: 8, arbitrary: fc.constantFrom(...alphabet.split('')) },
    { weight: 1, arbitrary: fc.constantFrom('.', '=', ' ', '+', '/', 'é', '\n') },
  );
}

function flipBits(character: string, bits: number): string {
  return alphabet[alphabet.indexOf(character) ^ bits] ?? '';
}

function applyChange(text: string, how: string, at: number, character: string): string {
  const before = text.slice(0, at);
  switch (how) {
    case 'replace':
      return before + character + text.slice(at + 1);
    case 'insert':
      return before + character + text.slice(at);
    case 'delete':
      return before + text.slice(at + 1);
    case 'cut':
      return before;
    default:
      return before + (text[at + 1] ?? '') + (text[at] ?? '') + text.slice(at + 2);
  }
}
