import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import type { JWK } from 'jose';
import { createLogger } from '../../src/telemetry/log';
import { extendKeySet } from '../../src/token/key-files';
import { keySource, type KeySource } from '../../src/token/key-source';
import { Keys } from '../../src/token/keys';
import type { Algorithm } from '../../src/token/share-token';
import { generateSigningKey } from '../../src/token/signing';
import { withShortIntervals } from '../support/clock';
import { eventually, replaceFile, without } from '../support/helpers';
import { Signal } from '../support/signal';

describe('the keys for share tokens', () => {
  const logLines: string[] = [];
  const logging = new Signal();
  const log = createLogger(
    { level: 'info', format: 'json' },
    {
      write: (line) => {
        logLines.push(line);
        logging.fire();
      },
    },
  );
  let folder: string;
  let file: string;
  const opened: Keys[] = [];
  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'session-import-keys-'));
    file = path.join(folder, 'jwks.json');
  });
  afterEach(() => {
    for (const keys of opened.splice(0)) keys.close();
    logLines.length = 0;
  });
  after(() => rm(folder, { recursive: true }));

  async function open(
    source: string | KeySource,
    signal = new AbortController().signal,
  ): Promise<Keys> {
    const keys = await Keys.open(
      typeof source === 'string' ? keySource(source) : source,
      log,
      signal,
    );
    opened.push(keys);
    return keys;
  }

  /** The log lines with a message, as objects. */
  const logged = (message: string): Record<string, unknown>[] =>
    logLines
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter(({ msg }) => msg === message);

  async function newKey(algorithm: Algorithm = 'EdDSA'): Promise<JWK> {
    const key = { algorithm, kid: undefined, applicationId: undefined };
    return (await generateSigningKey(key)).verificationJwk;
  }

  function shortRsaKey(): JWK {
    const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 1024 });
    return { ...(publicKey.export({ format: 'jwk' }) as JWK), alg: 'RS256', kid: 'short' };
  }

  const write = (...keys: readonly JWK[]) => replaceFile(file, JSON.stringify({ keys }));

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

    describe('that is looked at all the time', () => {
      withShortIntervals();

      it('are gone when the file leaves them out, also if nothing useful is left in it', async () => {
        for (const rest of [[], [{ kid: 'x', kty: 'unknown' }]]) {
          const key = await newKey();
          await write(key);
          const keys = await open(file);
          await write(...rest);
          await eventually(async () => (await keys.find(key.kid, 'EdDSA')) === undefined);
        }
      });
    });

    it('are refused at the start, with a reason, if any of them can not be used', async () => {
      const good = await newKey();
      const nameless = without(await newKey(), 'kid');
      const free = without(await newKey('HS256'), 'alg');
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
        [[good, null as unknown as JWK], /key \(key 2\): it is not an object/],
        [[good, { ...(await newKey()), key_ops: ['sign'] }], /key_ops must include verify/],
        [[good, { ...(await newKey()), use: 'signatures' }], /use must be sig/],
        [[good, { ...(await newKey('ES256')), alg: 'Ed25519' }], /not those of a key for EdDSA/],
        [
          [good, { ...(await newKey()), ...{ application_id: 'acme' } }],
          /application_id must be a UUID/,
        ],
        [
          [good, { ...(await newKey()), kid: good.kid ?? '' }],
          /another key has the same kid and alg/,
        ],
      ];
      // 1, 2 and 65536.
      for (const e of ['AQ', 'Ag', 'AQAA']) {
        wrong.push([[good, { ...(await newKey('RS256')), e }], /odd exponent of at least 3/]);
      }
      for (const [keys, why] of wrong) {
        await write(...keys);
        expect(await failureOf(file)).to.match(why);
      }
      expect(await failureOf(path.join(folder, 'missing.json'))).to.match(/ENOENT/);
    });

    it('are told at the start, with those that are for encryption, which are passed over', async () => {
      const good = await newKey();
      const [enc, wrap] = [{ ...(await newKey('RS256')), use: 'enc' }, await newKey('ES256')];
      const { privateKey } = generateKeyPairSync('x25519');
      const exchange = { ...(privateKey.export({ format: 'jwk' }) as JWK), kid: 'x', use: 'enc' };
      await write(enc, { ...wrap, key_ops: ['wrapKey', 'unwrapKey'] }, exchange, good);
      await open(file);
      const why = 'it is not for signatures, by its use or key_ops';
      expect(logged('share token keys')).to.have.length(1);
      expect(logged('share token keys')[0]).to.deep.include({
        level: 'info',
        kids: [good.kid],
        ignored: [enc.kid, wrap.kid, 'x'].map((kid) => ({ kid, why })),
      });
      // Another key can be added to such a set.
      const added = await newKey();
      await (await extendKeySet(file, added)).save();
      expect(await (await open(file)).find(added.kid, 'EdDSA')).to.include({ kid: added.kid });
    });

    it('may leave out their algorithm where their type has one, or name it as RFC 9864 does', async () => {
      const fitting = ['EdDSA', 'ES256', 'RS256'] as const;
      const named = await Promise.all(fitting.map(newKey));
      const renamed = { ...(await newKey()), alg: 'Ed25519' };
      await write(...named.map((key) => without(key, 'alg')), renamed);
      const keys = await open(file);
      for (const [index, { kid }] of named.entries()) {
        const algorithm = fitting[index] ?? 'PS256';
        expect(await keys.find(kid, algorithm)).to.include({ kid, algorithm });
      }
      // Without alg, an RSA key is for RS256 alone.
      expect(await keys.find(named[2]?.kid, 'PS256')).to.equal(undefined);
      expect(await keys.find(renamed.kid, 'EdDSA')).to.include({ algorithm: 'EdDSA' });
    });

    it('may share a kid, and each is used for its own algorithm', async () => {
      const algorithms = ['EdDSA', 'ES256', 'RS256', 'PS256'] as const;
      await write(
        ...(await Promise.all(algorithms.map(newKey))).map((key) => ({ ...key, kid: 'k' })),
      );
      const keys = await open(file);
      for (const algorithm of algorithms) {
        expect(await keys.find('k', algorithm)).to.include({ kid: 'k', algorithm });
      }
      expect(await keys.find('k', 'HS256')).to.equal(undefined);
      expect(keys.state().keys).to.equal(algorithms.length);
    });

    it('may have a byte order mark in front', async () => {
      const key = await newKey();
      await writeFile(file, `\uFEFF${JSON.stringify({ keys: [key] })}`);
      expect(await (await open(file)).find(key.kid, 'EdDSA')).to.include({ kid: key.kid });
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
    let answer: () => { status: number; body: unknown; compressed?: boolean };
    beforeEach(async () => {
      requests = 0;
      server = createServer((_request, response) => {
        requests++;
        const { status, body, compressed = false } = answer();
        response.writeHead(status, {
          'content-type': 'application/json',
          ...(compressed ? { 'content-encoding': 'gzip' } : {}),
        });
        const text = JSON.stringify(body);
        response.end(compressed ? gzipSync(text) : text);
      }).listen(0, '127.0.0.1');
      await once(server, 'listening');
      url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`;
    });
    afterEach(() => server.close());

    const loadFailure = (location: string) =>
      keySource(location)
        .load()
        .then(
          () => 'no failure',
          (error: unknown) => (error as Error).message,
        );

    it('are fetched once, and again for unknown kids, but not for every one', async () => {
      const [first, second] = [await newKey(), await newKey('ES256')];
      answer = () => ({ status: 200, body: { keys: [first] } });
      const keys = await open({ ...keySource(url), cooldown: 100 });
      await keys.find(first.kid, 'EdDSA');
      expect(requests).to.equal(1);
      answer = () => ({ status: 200, body: { keys: [first, second] } });
      expect(await keys.find(second.kid, 'ES256')).to.include({ kid: second.kid });
      expect(requests).to.equal(2);
      const third = await newKey();
      const madeUp = Array.from({ length: 100 }, (_, i) => keys.find(`made up ${i}`, 'EdDSA'));
      answer = () => ({ status: 200, body: { keys: [first, second, third] } });
      expect(await keys.find(third.kid, 'EdDSA')).to.include({ kid: third.kid });
      expect(new Set(await Promise.all(madeUp))).to.deep.equal(new Set([undefined]));
      expect(requests).to.equal(3);
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

    it('are out of reach while the newest reading has failed, and not for a file', async () => {
      const key = await newKey();
      const sets = { 200: { keys: [key] }, 500: 'out' };
      answer = () => ({ status: 200, body: sets[200] });
      const keys = await open({ ...keySource(url), cooldown: 0 });
      for (const status of [200, 500, 500, 200] as const) {
        answer = () => ({ status, body: sets[status] });
        await keys.find('unknown', 'EdDSA');
        expect(keys.mayHaveMore('EdDSA')).to.equal(status === 500);
        expect(keys.mayHaveMore('HS256')).to.equal(false);
      }
      await write(key);
      const ofFile = await open(file);
      await writeFile(file, '{');
      await ofFile.find('unknown', 'EdDSA');
      expect(ofFile.mayHaveMore('EdDSA')).to.equal(false);
    });

    it('are waited for while there are none, and why is told', async () => {
      const key = await newKey();
      answer = () => ({ status: 503, body: { keys: [key] } });
      const opening = open(url);
      await logging.until(() => logged('waiting for the share token keys').length === 1);
      answer = () => ({ status: 200, body: { keys: [key] } });
      expect(await (await opening).find(key.kid, 'EdDSA')).to.include({ kid: key.kid });
      expect(logged('waiting for the share token keys')[0]).to.deep.include({
        level: 'warn',
        why: `the share token keys at ${url} can't be used: it answers with HTTP status 503`,
      });
    });

    it('are no longer waited for when the service is told to stop, whether the remote refuses or hangs', async () => {
      const stopping = new AbortController();
      answer = () => ({ status: 200, body: { keys: [] } });
      const refused = open(url, stopping.signal).catch((error: unknown) => error);
      await logging.until(() => logged('waiting for the share token keys').length === 1);
      const hanging = createServer().listen(0, '127.0.0.1');
      await once(hanging, 'listening');
      const { port } = hanging.address() as AddressInfo;
      const asked = once(hanging, 'request');
      const hung = open(`http://127.0.0.1:${port}/`, stopping.signal).catch(
        (error: unknown) => error,
      );
      await asked;
      stopping.abort();
      expect([await refused, await hung]).to.deep.equal([
        stopping.signal.reason,
        stopping.signal.reason,
      ]);
      hanging.closeAllConnections();
      hanging.close();
    });

    it('say why they can not be fetched', async () => {
      answer = () => ({ status: 302, body: '' });
      expect(await loadFailure(url)).to.match(/HTTP status 302/);
      answer = () => ({ status: 200, body: 'a page' });
      expect(await loadFailure(url)).to.match(/not a JWK Set/);
      expect(await loadFailure(url.replace('http:', 'https:'))).to.match(/ERR_SSL_\w+$/);
      server.close();
      server.closeAllConnections();
      // Two addresses: an error with a cause for each.
      const elsewhere = url.replace('127.0.0.1', 'localhost');
      expect(await loadFailure(elsewhere)).to.match(/fetched: ECONNREFUSED$/);
      expect(await loadFailure('http://127.0.0.1:1/')).to.match(/fetched: bad port$/);
    });

    it('are not taken from what is too large, compressed or not, and the old ones stay', async () => {
      const key = await newKey();
      const set = (bytes: number) => ({ keys: [key], more: 'x'.repeat(bytes) });
      answer = () => ({ status: 200, body: set(1_000_000) });
      const keys = await open({ ...keySource(url), cooldown: 0 });
      for (const compressed of [false, true]) {
        answer = () => ({ status: 200, body: set(2_000_000), compressed });
        expect(await keys.find('unknown', 'EdDSA')).to.equal(undefined);
        expect(await keys.find(key.kid, 'EdDSA')).to.include({ kid: key.kid });
        expect(await loadFailure(url)).to.equal('it has over 1048576 bytes');
      }
    });

    it('stay in use while the remote has none for a moment, and are gone if it goes on', async () => {
      const key = await newKey();
      const [some, none] = [{ keys: [key] }, { keys: [{ kty: 'future', kid: 'f' }] }];
      answer = () => ({ status: 200, body: some });
      const keys = await open({ ...keySource(url), cooldown: 0, emptyGrace: 50 });
      const readAnd = async (body: object) => {
        answer = () => ({ status: 200, body });
        await keys.find('unknown', 'EdDSA');
        return keys.find(key.kid, 'EdDSA');
      };
      for (const body of [none, some, none])
        expect(await readAnd(body)).to.include({ kid: key.kid });
      await eventually(async () => (await readAnd(none)) === undefined);
      expect(logged('share token keys have changed')).to.have.length(1);
      expect(logged('share token keys have changed')[0]).to.include({ level: 'error' });
    });

    it('are never secrets, and those that can not be used are passed over', async () => {
      const [good, secret] = [await newKey(), await newKey('HS256')];
      const foreign = { kty: 'future', kid: 'f', alg: 'X' };
      const weak = { ...(await newKey('RS256')), e: 'AQ' };
      const none = [null, [], 'x'];
      answer = () => ({ status: 200, body: { keys: [foreign, secret, ...none, weak, good] } });
      const keys = await open(url);
      expect(logged('share token keys')[0]).to.deep.include({
        level: 'warn',
        kids: [good.kid],
        ignored: [
          { kid: 'f', why: 'alg must be one of EdDSA, ES256, RS256, PS256, HS256' },
          { kid: secret.kid, why: 'a secret (HS256) is taken from a file only' },
          ...[3, 4, 5].map((place) => ({ kid: `(key ${place})`, why: 'it is not an object' })),
          { kid: weak.kid, why: 'an RSA key has an odd exponent of at least 3' },
        ],
      });
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
