import { execFileSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { Webhook } from 'standardwebhooks';
import { ConnectionParty } from '../../src/gen/sessionimport/v1/session_connection';
import { SessionEvent, SessionEventType } from '../../src/gen/sessionimport/v1/session_events';
import { SessionKind } from '../../src/gen/sessionimport/v1/session_import';
import { CursorFile } from '../../src/relay/cursor-file';
import { feedError } from '../../src/relay/feed-errors';
import { bodyOf } from '../../src/relay/message';
import { pauseAfter, retryAfterOf } from '../../src/relay/pauses';
import { SigningSecrets } from '../../src/relay/secrets';
import { targetOf } from '../../src/relay/target';
import { newSecret } from '../support/relay';

describe('the URL that a relay posts to', () => {
  it('is https, or http on loopback, or else only if plain text is allowed', () => {
    for (const url of [
      'https://example.com/events?token=x',
      'http://localhost:8080/',
      'http://127.0.0.1/',
      'http://[::1]/',
    ]) {
      expect(targetOf(url, false).href).to.equal(url);
    }
    const plain = 'http://receiver.internal/';
    expect(() => targetOf(plain, false)).to.throw('--allow-plaintext');
    expect(targetOf(plain, true).href).to.equal(plain);
    for (const url of ['http://127.0.0.1.example.com/', 'http://localhost.example.com/']) {
      expect(() => targetOf(url, false)).to.throw('--allow-plaintext');
    }
  });

  it('has no user, is of no other kind, and is never repeated', () => {
    for (const [url, problem] of [
      ['https://hush@example.com/', 'no user'],
      ['https://ada:hush@example.com/', 'no user'],
      ['http://ada:hush@localhost/', 'no user'],
      ['ftp://example.com/hush', 'https://'],
      ['file:///hush', 'https://'],
      ['hush', 'must be a URL'],
      ['', 'must be a URL'],
    ] as const) {
      expect(() => targetOf(url, true))
        .to.throw(problem)
        .with.property('message')
        .that.does.not.include('hush');
    }
  });
});

describe('why a relay can not read its feed', () => {
  it('is what to do, if the service does not speak TLS', () => {
    const details =
      'No connection established. Last error: error:0A00010B:SSL routines:ssl3_get_record:wrong version number';
    const error = Object.assign(new Error(`14 UNAVAILABLE: ${details}`), { code: 14, details });
    expect(feedError(error, 0, 'key').message).to.match(/does not speak TLS .* use --plaintext/);
  });
});

describe('the pauses of a relay', () => {
  it('double up to a minute, and have jitter', () => {
    const longest = [1, 2, 3, 6, 7, 8, 5_000].map((failures) => pauseAfter(failures, 0, 1));
    expect(longest).to.deep.equal([1_000, 2_000, 4_000, 32_000, 60_000, 60_000, 60_000]);
    expect(pauseAfter(1, 0, 0)).to.equal(500);
    expect(pauseAfter(5_000, 0, 0)).to.equal(30_000);
  });

  it('are as long as the other side asks for, and an hour at most', () => {
    expect(pauseAfter(1, 90_000)).to.equal(90_000);
    expect(pauseAfter(1, 86_400_000)).to.equal(3_600_000);
    expect(pauseAfter(7, 10, 1)).to.equal(60_000);
  });

  it('understand Retry-After in seconds and as a time', () => {
    const now = Date.parse('2026-01-31T12:00:00Z');
    expect(retryAfterOf('120', now)).to.equal(120_000);
    expect(retryAfterOf('Sat, 31 Jan 2026 12:01:00 GMT', now)).to.equal(60_000);
    expect(retryAfterOf('Sat, 31 Jan 2026 11:00:00 GMT', now)).to.equal(0);
    for (const header of [null, '', 'soon', '-1x']) {
      expect(retryAfterOf(header, now)).to.equal(undefined);
    }
  });
});

describe('the secrets of a relay', () => {
  it('sign so that each of them verifies', () => {
    const secrets = [newSecret(), newSecret()];
    const signing = SigningSecrets.parse(`${secrets.join('\r\n')}\n\n`);
    expect(signing.count).to.equal(2);
    const at = new Date();
    const headers = {
      'webhook-id': 'an id',
      'webhook-timestamp': String(Math.floor(at.getTime() / 1_000)),
      'webhook-signature': signing.sign('an id', at, '{"a":1}'),
    };
    for (const secret of secrets) {
      expect(new Webhook(secret).verify('{"a":1}', headers)).to.deep.equal({ a: 1 });
      expect(() => new Webhook(secret).verify('{"a":2}', headers)).to.throw();
    }
    expect(() => new Webhook(newSecret()).verify('{"a":1}', headers)).to.throw();
  });

  it('are one or two, of 24 to 64 bytes, and never repeated', () => {
    const of = (bytes: number): string => `whsec_${Buffer.alloc(bytes, 7).toString('base64')}`;
    for (const bytes of [24, 32, 64]) expect(SigningSecrets.parse(of(bytes)).count).to.equal(1);
    const good = newSecret();
    for (const [text, problem] of [
      ['', 'it has no secret'],
      [[good, good, good].join('\n'), 'over 2 secrets'],
      [of(23), 'line 1'],
      [of(65), 'line 1'],
      [`${good}\n${of(32).slice('whsec_'.length)}`, 'line 2'],
      [`${good}\nwhsec_${'_'.repeat(32)}`, 'line 2'],
      [`${good}x`, 'line 1'],
    ] as const) {
      expect(() => SigningSecrets.parse(text))
        .to.throw(problem)
        .with.property('message')
        .that.does.not.match(/whsec_\S|BwcH/);
    }
  });
});

describe('the body of a webhook', () => {
  const event = SessionEvent.fromPartial({
    eventId: '01a2d3c7-8ffd-7dbb-a5d3-93bd4ee9b4b0',
    sequence: 7,
    createdAt: new Date('2026-11-29T02:20:07.311Z'),
    ownSide: ConnectionParty.CONNECTION_PARTY_RECIPIENT,
  });
  const typeOf = (of: SessionEvent): unknown => (JSON.parse(bodyOf(of)) as { type: unknown }).type;

  it('names every type of the contract in the way of Standard Webhooks', () => {
    const { SESSION_EVENT_TYPE_UNSPECIFIED: none, UNRECOGNIZED: unknown } = SessionEventType;
    const types = Object.values(SessionEventType).filter(
      (type) => typeof type !== 'string' && type !== none && type !== unknown,
    );
    expect(types.map((type) => typeOf({ ...event, type }))).to.deep.equal([
      'session.imported',
      'import.refused',
      ...['share_token.created', 'share_token.revoked', 'share_token.expired'],
      ...['connection.proposed', 'connection.accepted', 'connection.ended'],
      'session.erased',
      'session.withdrawn',
      'source.withdrawn',
      'withdrawal.answered',
      'source.changed',
    ]);
  });

  it('has the number of a type that only a newer service knows', () => {
    // The fourth field of an event, with this number.
    expect(typeOf(SessionEvent.decode(Uint8Array.of(4 << 3, 99)))).to.equal('unknown.99');
  });

  it('has all fields of an event, under the names of the proto file', () => {
    const file = path.join(__dirname, '../../proto/sessionimport/v1/session_events.proto');
    const body = bodyOf({
      ...event,
      sessionKind: SessionKind.SESSION_KIND_BUSINESS,
      ...{ sessionId: 'a', otherApplicationId: 'b', sharedFromSession: 'c' },
      ...{ shareTokenId: 'd', reason: 'R', connectionId: 'e' },
    });
    const { data } = JSON.parse(body) as { data: object };
    return readFile(file, 'utf8').then((proto) => {
      const [, fields = ''] = /message SessionEvent \{(.*?)\n\}/s.exec(proto) ?? [];
      const names = [...fields.matchAll(/ (\w+) = \d+;/g)].map(([, name]) => name);
      // The two others are outside of the data.
      expect(Object.keys(data).concat('type', 'created_at')).to.have.members(names);
      expect(data).to.include({ own_side: 'recipient', session_kind: 'business' });
    });
  });

  it('leaves out what the event does not have', () => {
    const { data } = JSON.parse(bodyOf(event)) as { data: object };
    expect(data).to.have.all.keys('event_id', 'sequence', 'own_side');
  });
});

describe('the cursor file of a relay', () => {
  let folder: string;
  let file: string;
  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'session-import-cursor-'));
    file = path.join(folder, 'cursor');
  });
  afterEach(() => rm(file, { force: true }));
  after(() => rm(folder, { recursive: true }));

  const id = '01a2d3c7-8ffd-7dbb-a5d3-93bd4ee9b4b0';

  it('begins at 0, keeps what is stored, and leaves no draft', async () => {
    const first = await CursorFile.open(file);
    expect(first.current).to.deep.equal({ after: 0 });
    await first.store({ after: 7, event_id: id });
    expect((await CursorFile.open(file)).current).to.deep.equal({ after: 7, event_id: id });
    expect(await readdir(folder)).to.deep.equal(['cursor']);
  });

  it('is not hurt by the draft of a process that was killed', async () => {
    await (await CursorFile.open(file)).store({ after: 7, event_id: id });
    await writeFile(`${file}.tmp`, '{"aft');
    const next = await CursorFile.open(file);
    expect(next.current.after).to.equal(7);
    await next.store({ after: 8 });
    expect((await CursorFile.open(file)).current).to.deep.equal({ after: 8 });
  });

  it('is refused if it holds anything but a cursor', async () => {
    for (const text of [
      '',
      '7',
      'x',
      '{}',
      '{"after":-1}',
      '{"after":1.5}',
      '{"after":9007199254740991}',
      '{"after":1,"b":2}',
    ]) {
      await writeFile(file, text);
      const error = await CursorFile.open(file, 0).catch((reason: unknown) => reason);
      expect(error).to.be.an('error').with.property('message').that.includes('no cursor file');
      expect(await readFile(file, 'utf8')).to.equal(text);
    }
  });

  it('is named by the error if it can not be read or written', async () => {
    const errorOf = (path: string) => CursorFile.open(path).catch((error: unknown) => error);
    const withPath = (error: unknown, path: string, what: string) =>
      expect(error)
        .to.be.an('error')
        .with.property('message')
        .that.includes(`${path} can not be ${what}: `);
    withPath(await errorOf(folder), folder, 'read');
    // As on a disk that is full: an error that names no file.
    await symlink('/dev/full', `${file}.tmp`);
    withPath(await errorOf(file), file, 'written');
    await rm(`${file}.tmp`);
  });

  it('may be behind a symbolic link, which stays', async () => {
    const link = path.join(folder, 'link');
    await symlink(file, link);
    await (await CursorFile.open(file)).store({ after: 7 });
    await (await CursorFile.open(link)).store({ after: 8 });
    expect((await CursorFile.open(file)).current).to.deep.equal({ after: 8 });
    expect(await readlink(link)).to.equal(file);
    await rm(link);
  });

  it('is refused if it is no file but a pipe, which would be waited for', async () => {
    const pipe = path.join(folder, 'pipe');
    execFileSync('mkfifo', [pipe]);
    const error = await CursorFile.open(pipe).catch((reason: unknown) => reason);
    expect(error)
      .to.be.an('error')
      .with.property('message', `the cursor file ${pipe} can not be read: ${pipe} is no file`);
    await rm(pipe);
  });

  it('is not overwritten once others have changed or deleted it', async () => {
    for (const change of [() => rm(file), () => writeFile(file, '{"after":3}\n')]) {
      const own = await CursorFile.open(file);
      await change();
      const error = await own.store({ after: 1 }).catch((reason: unknown) => reason);
      expect(error).to.be.an('error').with.property('message').that.includes('by others');
    }
  });
});
