import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import type { JWK } from 'jose';
import { createLogger } from '../../src/telemetry/log';
import { keySource } from '../../src/token/key-source';
import { Keys } from '../../src/token/keys';
import type { Algorithm } from '../../src/token/share-token';
import { generateSigningKey } from '../../src/token/signing';
import { eventually, without } from '../support/helpers';

describe('the keys for share tokens', () => {
  const log = createLogger({ level: 'silent', format: 'json' });
  let folder: string;
  let file: string;
  const opened: Keys[] = [];
  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'session-import-keys-'));
    file = path.join(folder, 'jwks.json');
  });
  afterEach(() => {
    for (const keys of opened.splice(0)) keys.close();
  });
  after(() => rm(folder, { recursive: true }));

  async function open(location: string): Promise<Keys> {
    const keys = await Keys.open(keySource(location), log);
    opened.push(keys);
    return keys;
  }

  async function newKey(algorithm: Algorithm = 'EdDSA'): Promise<JWK> {
    const key = { algorithm, kid: undefined, applicationId: undefined };
    return (await generateSigningKey(key)).verificationJwk;
  }

  function shortRsaKey(): JWK {
    const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 1024 });
    return { ...(publicKey.export({ format: 'jwk' }) as JWK), alg: 'RS256', kid: 'short' };
  }

  const write = (...keys: readonly JWK[]) => writeFile(file, JSON.stringify({ keys }));

  const failureOf = (location: string) =>
    open(location).then(
      () => 'no failure',
      (error: unknown) => (error as Error).message,
    );

  describe('from a file', () => {
    it('are rotated without a restart: a new key is found at once, a withdrawn one is gone in seconds', async () => {
      const [first, second] = [await newKey(), await newKey()];
      await write(first);
      const keys = await open(file);
      expect(await keys.find(first.kid, 'EdDSA')).to.include({ kid: first.kid });
      expect(await keys.find(second.kid, 'EdDSA')).to.equal(undefined);
      await write(first, second);
      expect(await keys.find(second.kid, 'EdDSA')).to.include({ kid: second.kid });
      await write(second);
      await eventually(async () => (await keys.find(first.kid, 'EdDSA')) === undefined);
      expect(await keys.find(second.kid, 'EdDSA')).to.include({ kid: second.kid });
    });

    it('stay in use while the file is unreadable or wrong', async () => {
      const key = await newKey();
      await write(key);
      const keys = await open(file);
      for (const text of ['', '{', '[]', '{"keys":1}']) {
        await writeFile(file, text);
        expect(await keys.find('unknown', 'EdDSA')).to.equal(undefined);
        expect(await keys.find(key.kid, 'EdDSA')).to.include({ kid: key.kid });
      }
      await rm(file);
      expect(await keys.find('unknown', 'EdDSA')).to.equal(undefined);
      expect(await keys.find(key.kid, 'EdDSA')).to.include({ kid: key.kid });
    });

    it('are gone when the file leaves them out, also if nothing useful is left in it', async () => {
      for (const rest of [[], [{ kid: 'x', kty: 'unknown' }]]) {
        const key = await newKey();
        await write(key);
        const keys = await open(file);
        await write(...rest);
        await eventually(async () => (await keys.find(key.kid, 'EdDSA')) === undefined);
      }
    });

    it('are refused at the start, with a reason, if any of them can not be used', async () => {
      const good = await newKey();
      const nameless = without(await newKey(), 'kid');
      const free = without(await newKey(), 'alg');
      const wrong: [keys: readonly JWK[], why: RegExp][] = [
        [[], /no key in it/],
        [[good, nameless], /kid is missing/],
        [[good, free], /alg must be one of/],
        [[good, { ...(await newKey()), alg: 'RS384' }], /alg must be one of/],
        [[good, { ...(await newKey('RS256')), alg: 'ES256' }], /not those of a key for ES256/],
        [[good, { ...(await newKey()), alg: 'HS256' }], /does not fit its key type/],
        [[good, { ...(await newKey('HS256')), alg: 'EdDSA' }], /does not fit its key type/],
        [[good, { ...(await newKey('HS256')), k: 'c2hvcnQ' }], /at least 256 bits/],
        [[good, shortRsaKey()], /at least 2048 bits/],
        [[good, { ...(await newKey()), key_ops: ['sign'] }], /key_ops must include verify/],
        [[good, { ...(await newKey()), use: 'enc' }], /use must be sig/],
        [
          [good, { ...(await newKey()), ...{ application_id: 'acme' } }],
          /application_id must be a UUID/,
        ],
        [[good, { ...(await newKey()), kid: good.kid ?? '' }], /another key has the same kid/],
      ];
      for (const [keys, why] of wrong) {
        await write(...keys);
        expect(await failureOf(file)).to.match(why);
      }
      expect(await failureOf(path.join(folder, 'missing.json'))).to.match(/ENOENT/);
    });

    it('never show a secret in the message that says what is wrong', async () => {
      const secret = await newKey('HS256');
      await writeFile(file, `{"keys":[${JSON.stringify(secret)}`);
      expect(await failureOf(file))
        .to.match(/not JSON/)
        .and.not.include(secret.k);
    });
  });

  describe('from a URL', () => {
    let server: Server;
    let url: string;
    let requests: number;
    let answer: () => { status: number; body: unknown };
    beforeEach(async () => {
      requests = 0;
      server = createServer((_request, response) => {
        requests++;
        const { status, body } = answer();
        response.writeHead(status, { 'content-type': 'application/json' });
        response.end(JSON.stringify(body));
      }).listen(0, '127.0.0.1');
      await once(server, 'listening');
      url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`;
    });
    afterEach(() => server.close());

    it('are fetched once, and again for an unknown kid, but not for every one', async () => {
      const [first, second] = [await newKey(), await newKey('ES256')];
      answer = () => ({ status: 200, body: { keys: [first] } });
      const keys = await open(url);
      await keys.find(first.kid, 'EdDSA');
      expect(requests).to.equal(1);
      answer = () => ({ status: 200, body: { keys: [first, second] } });
      expect(await keys.find(second.kid, 'ES256')).to.include({ kid: second.kid });
      expect(requests).to.equal(2);
      for (let i = 0; i < 100; i++) await keys.find(`made up ${i}`, 'EdDSA');
      expect(requests).to.equal(2);
    });

    it('are found by all who ask for a new one at the same time', async () => {
      const [first, second] = [await newKey(), await newKey()];
      answer = () => ({ status: 200, body: { keys: [first] } });
      const keys = await open(url);
      answer = () => ({ status: 200, body: { keys: [first, second] } });
      const found = await Promise.all(
        Array.from({ length: 5 }, () => keys.find(second.kid, 'EdDSA')),
      );
      for (const key of found) expect(key).to.include({ kid: second.kid });
      expect(requests).to.equal(2);
    });

    it('stay in use while the remote is out', async () => {
      const key = await newKey();
      answer = () => ({ status: 200, body: { keys: [key] } });
      const keys = await open(url);
      answer = () => ({ status: 500, body: 'out' });
      expect(await keys.find('unknown', 'EdDSA')).to.equal(undefined);
      expect(requests).to.equal(2);
      expect(await keys.find(key.kid, 'EdDSA')).to.include({ kid: key.kid });
    });

    it('are never secrets, and those that can not be used are passed over', async () => {
      const [good, secret] = [await newKey(), await newKey('HS256')];
      const foreign = { kty: 'future', kid: 'f', alg: 'X' };
      answer = () => ({ status: 200, body: { keys: [foreign, secret, good] } });
      const keys = await open(url);
      expect(await keys.find(good.kid, 'EdDSA')).to.include({ kid: good.kid });
      expect(await keys.find(secret.kid, 'HS256')).to.equal(undefined);
    });

    it('need https anywhere but on this machine', () => {
      expect(() => keySource('https://user:hunter2@keys.example.com/')).to.throw(/password/);
      const locations = ['http://keys.example.com/jwks', 'ftp://127.0.0.1/x', 'file:///etc/jwks'];
      for (const location of locations) {
        expect(() => keySource(location)).to.throw(/needs https/);
      }
      expect(() => keySource('https://keys.example.com/jwks')).not.to.throw();
    });
  });
});
