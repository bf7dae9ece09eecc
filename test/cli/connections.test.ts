import { expect } from 'chai';
import { newId } from '../../src/model/ids';
import { createApplication } from '../../src/store/accounts';
import type { Database } from '../../src/db/database';
import { run } from '../support/command';
import { databaseUrl, open } from '../support/mysql';

describe('the commands about connections', () => {
  let db: Database;
  before(() => {
    db = open(databaseUrl());
  });
  after(() => db.destroy());

  const connection = (...args: string[]) =>
    run(['connection', ...args], { DATABASE_URL: databaseUrl() });

  async function json(...args: string[]): Promise<Record<string, unknown>> {
    const { exitCode, printed, errors } = await connection(...args, '--json');
    expect(exitCode, errors).to.equal(0);
    return JSON.parse(printed) as Record<string, unknown>;
  }

  async function listed(...args: string[]): Promise<unknown[]> {
    const { exitCode, printed, errors } = await connection('list', ...args, '--json');
    expect(exitCode, errors).to.equal(0);
    const lines = printed.split('\n').filter((line) => line !== '');
    return lines.map((line) => (JSON.parse(line) as Record<string, unknown>)['connection_id']);
  }

  const pair = async () => {
    const [source, recipient] = await Promise.all(
      ['Contoso', 'Fabrikam'].map((name) => createApplication(db, name)),
    );
    return { source: source ?? '', recipient: recipient ?? '' };
  };

  const create = (source: string, recipient: string, ...terms: string[]) =>
    json('create', '--source', source, '--recipient', recipient, ...terms);

  it('connect two applications, replace that, and end it', async () => {
    const { source, recipient } = await pair();
    const first = await create(source, recipient, '--kind', 'user');
    const { connection_id: id, created_at: at } = first;
    expect(first).to.deep.equal({
      ...{ connection_id: id, source_application: source, recipient_application: recipient },
      ...{ state: 'active', session_kinds: ['user'], linked_sessions: false, trust_review: false },
      ...{ longest_ttl_seconds: null, relations: null, grounds_required: false },
      ...{ agreement: null, certified_until: null, proposed_by: 'operator', created_at: at },
      ...{ acceptable_until: null, accepted_at: at, ended_at: null, ending: null, ended_by: null },
      ...{ replaced_by: null, last_used_at: null },
    });

    const terms = ['--kind', 'business', 'user', '--linked-sessions', '--trust-review'];
    const second = await create(
      ...([source, recipient, ...terms, '--longest-ttl', '600', '--grounds-required'] as const),
      ...['--relations', 'faces,key_people_checks,key_people', '--agreement', 'contracts/7'],
      ...['--certified-until', '2999-01-01T00:00:00.900Z'],
    );
    expect(second).to.deep.include({
      session_kinds: ['user', 'business'],
      ...{ linked_sessions: true, trust_review: true, longest_ttl_seconds: 600 },
      ...{ grounds_required: true, agreement: 'contracts/7' },
      relations: ['faces', 'key_people_checks', 'key_people'],
      certified_until: '2999-01-01T00:00:00.000Z',
    });

    const ended = await json('end', String(second['connection_id']));
    expect(ended).to.include({ state: 'ended', ending: 'ended', ended_by: 'operator' });
    expect(await json('end', String(second['connection_id']))).to.deep.equal(ended);
    const { printed } = await connection('list', '--application', source);
    const names = `${source} -> ${recipient}`;
    expect(printed).to.equal(
      `${String(second['connection_id'])}  ${names}  ended\n${String(id)}  ${names}  ended (replaced)\n`,
    );
  });

  it('list them, of an application or of all, by their state', async () => {
    const [one, other] = [await pair(), await pair()];
    const ids: unknown[] = [];
    for (const { source, recipient } of [one, other]) {
      ids.unshift((await create(source, recipient, '--kind', 'user'))['connection_id']);
    }
    await json('end', String(ids[0]));
    expect(await listed('--application', one.recipient)).to.deep.equal([ids[1]]);
    expect(await listed('--application', other.source)).to.deep.equal([ids[0]]);
    expect(await listed('--application', other.source, '--state', 'active')).to.deep.equal([]);
    expect((await listed()).slice(0, 2)).to.deep.equal(ids);
    expect(await listed('--state', 'active'))
      .to.include(ids[1])
      .and.not.to.include(ids[0]);
  });

  const wrong: Readonly<Record<string, readonly string[]>> = {
    '--linked-sessions needs both kinds': ['--kind', 'user', '--linked-sessions'],
    '--relations: key_people must be a relation of user sessions': [
      ...['--kind', 'user', '--relations', 'key_people'],
    ],
    '--relations: aml_hits must not be there without aml_screenings': [
      ...['--kind', 'user', '--relations', 'faces,aml_hits'],
    ],
    '--relations must have key_people if linked sessions are shared': [
      ...['--kind', 'user', 'business', '--linked-sessions', '--relations', 'reviews'],
    ],
    '--relations must name each relation once': ['--kind', 'user', '--relations', 'faces,faces'],
    '--kind must name each kind once': ['--kind', 'user', 'user'],
    '--certified-until must be in the future': [
      '--kind',
      'user',
      '--certified-until',
      '2020-01-01',
    ],
  };
  for (const [message, terms] of Object.entries(wrong)) {
    it(`refuse terms: ${message}`, async () => {
      const { source, recipient } = await pair();
      const sides = ['--source', source, '--recipient', recipient];
      const { exitCode, errors } = await connection('create', ...sides, ...terms);
      expect({ exitCode, errors }).to.deep.include({ exitCode: 1 });
      expect(errors).to.include(message);
      expect(await listed('--application', source)).to.deep.equal([]);
    });
  }

  it('say what does not exist, and connect no application with itself', async () => {
    const { source } = await pair();
    const nobody = newId();
    const failures: Readonly<Record<string, readonly string[]>> = {
      [`there is no application ${nobody}`]: [
        ...['create', '--source', source, '--recipient', nobody, '--kind', 'user'],
      ],
      '--source and --recipient must be two applications': [
        ...['create', '--source', source, '--recipient', source, '--kind', 'user'],
      ],
      [`there is no connection ${nobody}`]: ['end', nobody],
    };
    for (const [message, args] of Object.entries(failures)) {
      const { exitCode, errors } = await connection(...args);
      expect(exitCode).to.equal(1);
      expect(errors).to.include(message);
    }
    const { exitCode, errors } = await connection('list', '--application', nobody);
    expect([exitCode, errors]).to.deep.equal([
      1,
      `session-import: there is no application ${nobody}\n`,
    ]);
    expect(await listed('--application', source)).to.deep.equal([]);
  });
});
