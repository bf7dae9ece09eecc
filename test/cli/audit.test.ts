import { createHash, randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import { expect } from 'chai';
import { momentArgument } from '../../src/cli/arguments';
import { auditLines } from '../../src/cli/audit-lines';
import { openMultiDatabase } from '../../src/db/connection';
import {
  newId,
  toBinary,
  toId,
  type ConnectionId,
  type Id,
  type SessionId,
} from '../../src/model/ids';
import { shareableNames } from '../../src/model/scope';
import { sessionKinds } from '../../src/model/session';
import { failureOf, sessionOf } from '../support/client';
import { createCompany, requestWithLinked } from '../support/companies';
import { run } from '../support/command';
import { connect } from '../support/connections';
import { createSession, createTenant, type Tenant } from '../support/fixtures';
import { serviceUrl } from '../support/mysql';
import { ServiceProcess } from '../support/process';
import { builtProgram } from '../support/program';
import { startHarness, type Harness } from '../support/service';
import { AcceptanceRules, SessionStatus } from '../../src/gen/sessionimport/v1/session_import';
import {
  GroundsKind,
  SessionShareService,
  ShareSessionRequest,
} from '../../src/gen/sessionimport/v1/session_share';

type Line = Readonly<Record<string, unknown>>;

describe('audit export', () => {
  /** An hour that has passed, in which the tests enter imports. */
  const hour = ['--from', '2026-01-31T12:00:00Z', '--to', '2026-01-31T14:00:00+01:00'] as const;
  let harness: Harness;
  let source: Tenant;
  let target: Tenant;
  let connectionId: ConnectionId;
  before(async () => {
    harness = await startHarness({ environment: { REQUIRE_CONNECTIONS: 'true' } });
  });
  beforeEach(async () => {
    source = await createTenant(harness.db);
    target = await createTenant(harness.db);
    connectionId = await connect(harness.client, source, target);
  });
  after(() => harness.stop());

  const exporting = (
    { applicationId }: Tenant,
    period: readonly string[] = hour,
    url = serviceUrl(),
  ) => run(['audit', 'export', '--application', applicationId, ...period], { DATABASE_URL: url });

  /** The lines of a whole export, after a look at its digest. */
  async function exported(tenant: Tenant, period: readonly string[] = hour) {
    const { exitCode, printed, errors } = await exporting(tenant, period);
    expect(errors).to.equal('');
    expect(exitCode).to.equal(0);
    return parsed(printed);
  }

  function parsed(printed: string) {
    const texts = printed.split('\n');
    expect(texts.pop()).to.equal('');
    const lines = texts.map((text) => JSON.parse(text) as Line);
    const [head = {}, ...records] = lines.slice(0, -1);
    const { sha256, type, ...counted } = lines.at(-1) ?? {};
    expect(type).to.equal('summary');
    const before = printed.slice(0, printed.lastIndexOf('\n', printed.length - 2) + 1);
    expect(sha256).to.equal(createHash('sha256').update(before).digest('hex'));
    const count = (wanted: string, direction: string) =>
      records.filter((line) => line['type'] === wanted && line['direction'] === direction).length;
    expect(counted).to.deep.equal({
      imports_incoming: count('import', 'incoming'),
      refusals_incoming: count('refusal', 'incoming'),
      imports_outgoing: count('import', 'outgoing'),
    });
    return { head, records };
  }

  /** Moves all that is on record of an application into the hour: the tests need not wait for it to pass. */
  async function moveIntoTheHour(): Promise<void> {
    for (const table of ['session_imports', 'import_refusals']) {
      await harness
        .db(table)
        .where({ application_id: toBinary(target.applicationId) })
        .update({ created_at: '2026-01-31 12:10:00.123456' });
    }
  }

  for (const kind of sessionKinds) {
    it(`tells both sides of the import of a ${kind} session what each may know`, async () => {
      const { db, client } = harness;
      const verifiedAt = new Date('2026-01-02T03:04:05.678Z');
      const rules = { max_age_seconds: null, documents_unexpired: true };
      const original = await createSession(db, source, kind, {
        status: 'Declined',
        verified_at: verifiedAt,
      });
      const obtainedAt = new Date('2026-01-05T06:07:08Z');
      const { shareToken, details } = await client.call(
        SessionShareService.shareSession,
        source.apiKey,
        ShareSessionRequest.fromPartial({
          sessionId: original,
          forApplicationId: target.applicationId,
          relations: ['logs', 'contact_details'],
          grounds: {
            kind: GroundsKind.GROUNDS_KIND_CONSENT,
            purpose: 'onboarding',
            obtainedAt,
            evidenceSha256: 'ab'.repeat(32),
          },
        }),
      );
      const copy = sessionOf(
        await client.import(target.apiKey, {
          shareToken,
          workflowId: target.workflows[kind],
          acceptance: AcceptanceRules.fromPartial({
            documentsUnexpired: true,
            statuses: [SessionStatus.SESSION_STATUS_DECLINED],
          }),
        }),
      );
      await moveIntoTheHour();
      const incoming = await exported(target);
      expect(incoming.head).to.deep.equal({
        type: 'export',
        application_id: target.applicationId,
        from: '2026-01-31T12:00:00.000Z',
        to: '2026-01-31T13:00:00.000Z',
      });
      const [line, ...more] = incoming.records;
      expect(more).to.deep.equal([]);
      const { api_key_id: key, signing_key_id: kid, created_at: at, ...rest } = line ?? {};
      expect(key).to.be.a('string');
      expect(at).to.equal('2026-01-31T12:10:00.123Z');
      const shared = {
        type: 'import',
        application_id: target.applicationId,
        gateway: null,
        shared_from_application: source.applicationId,
        shared_from_session: original,
        session_kind: kind,
        linked_to_session: null,
        share_token_id: details?.shareTokenId,
        grounds: {
          kind: 'consent',
          purpose: 'onboarding',
          reference: null,
          obtained_at: '2026-01-05T06:07:08.000Z',
          evidence_sha256: 'ab'.repeat(32),
        },
        connection_id: connectionId,
        withheld_relations: [...shareableNames([kind])].filter(
          (name) => !['logs', 'contact_details'].includes(name),
        ),
        reason: null,
        preview: false,
      };
      expect(rest).to.deep.equal({
        ...shared,
        direction: 'incoming',
        session_id: copy.sessionId,
        source_status: 'Declined',
        verified_at: verifiedAt.toISOString(),
        acceptance: { ...rules, statuses: ['Declined'], relations: [] },
        trust_review: false,
      });
      const outgoing = await exported(source);
      expect(outgoing.records).to.deep.equal([
        {
          ...shared,
          direction: 'outgoing',
          created_at: at,
          signing_key_id: kid,
          session_id: null,
          source_status: null,
          verified_at: null,
          acceptance: null,
          trust_review: null,
          api_key_id: null,
        },
      ]);
      expect((await exported(await createTenant(db))).records).to.deep.equal([]);
    });
  }

  it('has refusals, previews among them, and the people that come with a company', async () => {
    const { db, client, signer } = harness;
    const person = await createSession(db, source, 'user');
    const company = await createCompany(db, source, [person]);
    const request = await requestWithLinked({ signer, source, target }, company);
    const answer = await client.import(target.apiKey, request);
    await failureOf(client.import(target.apiKey, { ...request, validateOnly: true }));
    await failureOf(client.import(target.apiKey, { ...request, shareToken: 'nonsense' }));
    await moveIntoTheHour();
    const { records } = await exported(target);
    const essence = records.map((line) => [
      line['type'],
      line['reason'],
      line['preview'],
      line['shared_from_session'],
      line['linked_to_session'],
    ]);
    expect(essence).to.have.deep.members([
      ['refusal', 'SHARE_TOKEN_INVALID', false, null, null],
      ['refusal', 'SESSION_ALREADY_IMPORTED', true, company, null],
      ['import', null, false, person, answer.session?.sessionId],
      ['import', null, false, company, null],
    ]);
    expect((await exported(source)).records).to.have.length(2);
  });

  const moment = (second: string): string => `2026-01-31 12:${second}`;
  const anyId = <T extends Id<string>>(): T =>
    toId<T>(
      randomBytes(16)
        .toString('hex')
        .replace(/(.{8})(.{4})(.{4})(.{4})(.{12})/, '$1-$2-$3-$4-$5'),
    );

  /** Enters imports and refusals into the record, in an order that is not that of their keys. */
  async function enter(imports: readonly string[], refusals: readonly string[]) {
    const ids = imports.map(() => anyId<SessionId>());
    for (let done = 0; done < imports.length; done += 1_000) {
      await harness.db('session_imports').insert(
        imports.slice(done, done + 1_000).map((createdAt, index) => ({
          application_id: toBinary(target.applicationId),
          source_session_id: toBinary(ids[done + index] ?? newId()),
          source_application_id: toBinary(source.applicationId),
          session_kind: 'user',
          source_status: 'Approved',
          session_id: toBinary(newId()),
          trust_review: false,
          api_key_id: toBinary(newId()),
          created_at: createdAt,
        })),
      );
    }
    const attempts = refusals.map((createdAt) => ({
      application_id: toBinary(target.applicationId),
      created_at: createdAt,
      id: toBinary(anyId()),
      reason: 'SHARE_TOKEN_INVALID',
      gateway: anyId(),
    }));
    if (attempts.length > 0) await harness.db('import_refusals').insert(attempts);
    return { ids, gateways: attempts.map(({ gateway }) => gateway) };
  }

  it('begins with its first moment and ends before its last, to the microsecond', async () => {
    const times = ['2026-01-31 11:59:59.999999', moment('00:00'), '2026-01-31 12:59:59.999999'];
    const { ids } = await enter([...times, '2026-01-31 13:00:00'], []);
    const { records } = await exported(target);
    expect(records.map((line) => line['shared_from_session'])).to.deep.equal([ids[2], ids[1]]);
  });

  it('has every record once, over many pages and at equal times', async () => {
    const { ids, gateways } = await enter(
      [
        ...Array.from({ length: 1_300 }, () => moment('10:00.000001')),
        ...Array.from({ length: 40 }, (_, index) => moment(`20:${10 + index}`)),
      ],
      Array.from({ length: 700 }, () => moment('10:00.000001')),
    );
    const { records } = await exported(target);
    const of = (type: string, field: string) =>
      records.filter((line) => line['type'] === type).map((line) => line[field]);
    expect(of('import', 'shared_from_session')).to.have.members(ids);
    expect(of('refusal', 'gateway')).to.have.members(gateways);
    const times = records.map((line) => String(line['created_at']));
    expect(times).to.deep.equal(times.toSorted().toReversed());
    const outgoing = await exported(source);
    expect(outgoing.records.map((line) => line['shared_from_session'])).to.have.members(ids);
    // Whoever doubts it asks again.
    expect((await exporting(target)).printed).to.equal((await exporting(target)).printed);
  });

  it('reads a page only when the one before was taken', async () => {
    await enter(
      Array.from({ length: 1_300 }, () => moment('10:00')),
      [],
    );
    const db = openMultiDatabase({ url: serviceUrl(), poolSize: 1, lockWaitSeconds: 1 });
    let reads = 0;
    db.on('query', () => reads++);
    const period = { since: new Date('2026-01-31'), until: new Date('2026-02-01') };
    const lines = auditLines(db, target.applicationId, period);
    const sizes: number[] = [];
    for (let taken = 0; taken < 3; taken++) {
      const { value } = (await lines.next()) as IteratorYieldResult<string>;
      sizes.push(value.split('\n').length - 1);
      expect(reads).to.equal(taken);
    }
    expect(sizes).to.deep.equal([1, 500, 500]);
    await lines.return(undefined);
    await db.destroy();
  });

  it('ends with an error, and not with a summary, if its reader has gone', async () => {
    await enter(
      Array.from({ length: 2_000 }, () => moment('10:00')),
      [],
    );
    const command = [process.execPath, builtProgram(), 'audit', 'export', ...hour];
    const all = [...command, '--application', target.applicationId];
    const shell = ServiceProcess.start(
      ['/bin/bash', '-c', `set -o pipefail; ${all.join(' ')} | head -n 1`],
      { cwd: tmpdir(), env: { PATH: process.env['PATH'], DATABASE_URL: serviceUrl() } },
    );
    expect(await shell.ended()).to.equal(1);
    expect(shell.logLines).to.have.length(1);
    expect(shell.errors).to.equal("session-import: the output can't be written: write EPIPE\n");
  });

  it('says what is wrong with its period or its application, and prints nothing', async () => {
    const soon = new Date(Date.now() - 570_000).toISOString();
    for (const [period, why] of [
      [['--from', '2026-01-31', '--to', '2026-01-31'], '--to must be after --from'],
      [['--from', '2026-01-31', '--to', soon], 'at least ten minutes ago'],
      [['--from', '2026-01-31', '--to', '2999-01-01'], 'at least ten minutes ago'],
    ] as const) {
      const { exitCode, errors, printed } = await exporting(target, period);
      expect([exitCode, printed]).to.deep.equal([1, '']);
      expect(errors).to.include(why);
    }
    const nobody = { ...target, applicationId: newId<never>() };
    const { exitCode, errors, printed } = await exporting(nobody);
    expect([exitCode, printed]).to.deep.equal([1, '']);
    expect(errors).to.include('there is no application');
  });

  it('takes days and times with a zone, and nothing else', () => {
    for (const [text, moment] of [
      ['2026-01-31', '2026-01-31T00:00:00.000Z'],
      ['2026-01-31T12:00:00Z', '2026-01-31T12:00:00.000Z'],
      ['2026-01-31T12:00:00.25+05:30', '2026-01-31T06:30:00.250Z'],
    ] as const) {
      expect(momentArgument(text).toISOString()).to.equal(moment);
    }
    for (const text of ['yesterday', '', '2026-01-31T12:00:00', '2026-02-30', '1770000000']) {
      expect(() => momentArgument(text)).to.throw('It must be a day or a time with its zone');
    }
  });
});
