import type { JsonObject } from '@bufbuild/protobuf';
import { expect } from 'chai';
import { withDatabase } from '../../src/cli/database';
import type { Database } from '../../src/db/database';
import { openDatabase } from '../../src/db/connection';
import { read, select as selectRows } from '../../src/db/query';
import { toBinary, type SessionId } from '../../src/model/ids';
import { createApiKey, createApplication, revokeApiKey } from '../../src/store/accounts';
import { endings, rowsOf, sessionOf } from '../support/client';
import { addLogs, createSession, createSessions, type Tenant } from '../support/fixtures';
import { without } from '../support/helpers';
import { methodOf, methods, titleOf } from '../support/methods';
import { databaseUrl, open, serviceUrl } from '../support/mysql';
import { select } from '../support/rows';
import { harmlessSettings, hostileSettings, setServer } from '../support/server-settings';
import { startHarness, type Harness } from '../support/service';

/** Letters of one to four bytes of UTF-8, and what has to be escaped. */
const name = "Zoë O'Neil \\ 李小龍 👩🏽‍⚖️";

describe('a server that is set for others', () => {
  before(function () {
    // The settings are for everybody on the server.
    if (process.env['DATABASE_URL']) this.skip();
  });

  describe('is as good as any', () => {
    let restore: () => Promise<void>;
    let harness: Harness;
    before(async () => {
      restore = await setServer({ ...hostileSettings, ...harmlessSettings });
      harness = await startHarness();
    });
    after(async () => {
      await restore();
      await harness.stop();
    });

    it('a session is set as on any other', async () => {
      // This one alone belongs to no session.
      const names = Object.keys(without(hostileSettings, 'init_connect'));
      const there = await sessionVariables(names);
      await restore();
      const elsewhere = await sessionVariables(names);
      restore = await setServer({ ...hostileSettings, ...harmlessSettings });
      expect(there).to.deep.equal(elsewhere).and.have.length.greaterThan(20);
    });

    const call = async (
      title: string,
      tenant: Tenant,
      request: JsonObject,
    ): Promise<JsonObject> => {
      const method = methods.find((each) => titleOf(each) === title);
      if (!method) throw new Error(`there is no method ${title}`);
      return (await harness.client.call(methodOf(method), tenant.apiKey, request)) as JsonObject;
    };

    it('imports are whole, and kept', async () => {
      const { db, source, target, client, signer } = harness;
      const original = await createSession(db, source, 'user');
      await addLogs(db, 'user', original, 30);
      await db('user_logs')
        .where({ session_id: toBinary(original) })
        .update({ short_description: name, additional_data: JSON.stringify({ name }) });
      const request = {
        shareToken: await signer.share(source, target, 'user', original),
        workflowId: target.workflows.user,
        vendorData: name,
      };
      const answer = await client.import(target.apiKey, request);
      expect(rowsOf(answer)).to.deep.equal({ logs: 30 });
      const again = await endings([client.import(target.apiKey, request)]);
      expect(again).to.deep.equal(['SESSION_ALREADY_IMPORTED']);

      const { sessionId } = sessionOf(answer);
      const shown = await call('SessionRead/GetSession', target, { session_id: sessionId });
      expect(shown).to.have.nested.property('session.session.vendor_data', name);
      const rows = await call('SessionRead/ListSessionRows', target, {
        session_id: sessionId,
        relation: 'logs',
        page_size: 500,
      });
      expect(rows).to.have.nested.property('user.logs.length', 31);
      expect(rows).to.have.nested.property('user.logs[29].short_description', name);
      const imports = await call('SessionTrace/ListImports', target, {});
      expect(imports).to.have.property('imports').with.length(2);
      // As bytes, which nothing on the way can have made right again.
      const stored = await select(
        'SELECT HEX(short_description) AS name FROM user_logs WHERE session_id = ? AND ordinal = 29',
        [toBinary(sessionId as SessionId)],
      );
      expect(stored).to.deep.equal([{ name: Buffer.from(name).toString('hex').toUpperCase() }]);
    });

    it('tokens are kept, and taken back', async () => {
      const { db, source, target, client } = harness;
      const session = await createSession(db, source, 'business');
      const named = { session_id: session };
      const share = () =>
        call('SessionShare/ShareSession', source, {
          ...named,
          for_application_id: target.applicationId,
        });
      const { share_token: token } = await share();
      await share();
      const revoked = await call('SessionShare/RevokeShareToken', source, named);
      expect(revoked).to.have.property('revoked', '2');
      const imported = client.import(target.apiKey, {
        shareToken: token as string,
        workflowId: target.workflows.business,
      });
      expect(await endings([imported])).to.deep.equal(['SHARE_TOKEN_REVOKED']);
      const listed = await call('SessionShare/ListShareTokens', source, named);
      expect(listed).to.have.property('share_tokens').with.length(2);
      expect(listed).to.have.nested.property('share_tokens[1].revoked_at');
    });

    it('pages are in order, and whole', async () => {
      const { db, source } = harness;
      const ids = await createSessions(db, source, 'user', 60, { created_at: new Date(0) });
      const listed: unknown[] = [];
      let pageToken = '';
      do {
        const page = await call('SessionRead/ListSessions', source, {
          created_until: '1970-01-02T00:00:00Z',
          page_size: 7,
          page_token: pageToken,
        });
        listed.push(
          ...((page['sessions'] ?? []) as JsonObject[]).map((each) => each['session_id']),
        );
        pageToken = (page['next_page_token'] ?? '') as string;
      } while (pageToken !== '');
      expect(listed).to.deep.equal(ids.toSorted().toReversed());
    });

    it('commands do what they say', async () => {
      const { target, client } = harness;
      const key = await onCommandLine(async (db) =>
        createApiKey(db, {
          applicationId: await createApplication(db, name),
          name,
          privileges: ['write:sessions'],
          expiresAt: null,
        }),
      );
      const kept = await select('SELECT HEX(name) AS name FROM api_keys WHERE id = ?', [
        toBinary(key.id),
      ]);
      expect(kept).to.deep.equal([{ name: Buffer.from(name).toString('hex').toUpperCase() }]);
      expect(await onCommandLine((db) => revokeApiKey(db, key.id))).to.equal(true);
      const request = { shareToken: 'x', workflowId: target.workflows.user };
      expect(await endings([client.import(key.apiKey, request)])).to.deep.equal([
        'API_KEY_INVALID',
      ]);
    });
  });

  /** What some variables are in a new session of the service's user. */
  async function sessionVariables(names: readonly string[]): Promise<object[]> {
    const db = openDatabase({ url: serviceUrl(), poolSize: 1, lockWaitSeconds: 2 });
    const sql = 'SHOW SESSION VARIABLES WHERE Variable_name IN (?)';
    const found = await read(db, selectRows<object>(sql, [names]));
    await db.destroy();
    return found;
  }

  /** Does a command's work, as the service's user. */
  async function onCommandLine<T>(work: (db: Database) => Promise<T>): Promise<T> {
    process.env['DATABASE_URL'] = serviceUrl();
    try {
      return await withDatabase(work);
    } finally {
      delete process.env['DATABASE_URL'];
    }
  }
});

describe('a server that can not be set as it has to be', () => {
  before(function () {
    if (process.env['DATABASE_URL']) this.skip();
  });

  /** Why a service does not start on it. */
  async function whyNot(settings: Readonly<Record<string, string | number>>): Promise<string> {
    const restore = await setServer(settings);
    try {
      const harness = await startHarness();
      await harness.stop();
      return 'it starts';
    } catch (error) {
      return (error as Error).message;
    } finally {
      await restore();
    }
  }

  it('is refused by the name of each variable', async () => {
    expect(await whyNot({ max_allowed_packet: 1_048_576, max_error_count: 10 })).to.equal(
      'the database server must be set so that max_error_count >= 512, and max_allowed_packet >= 4194304',
    );
  });

  it('is refused if it has several primaries', async () => {
    const admin = open(databaseUrl());
    await admin.raw("INSTALL PLUGIN group_replication SONAME 'group_replication.so'");
    try {
      expect(await whyNot({})).to.equal('it starts');
      await admin.raw('SET GLOBAL group_replication_single_primary_mode = OFF');
      expect(await whyNot({})).to.equal(
        'the database server must be set so that group_replication_single_primary_mode = ON',
      );
    } finally {
      await admin.raw('UNINSTALL PLUGIN group_replication');
      await admin.destroy();
    }
  });

  it('is found out where it takes a value and keeps another', async () => {
    // Without a strict mode, a server cuts what is out of range, and only warns.
    const restore = await setServer({ sql_mode: '' });
    const db = openDatabase({ url: serviceUrl(), poolSize: 1, lockWaitSeconds: 2 ** 31 });
    const error: unknown = await db.raw('SELECT 1').catch((reason: unknown) => reason);
    await db.destroy();
    await restore();
    expect(error).to.have.property('name', 'UnfitServer');
    expect(error).to.have.property('message').that.includes('lock_wait_timeout = 2147483648');
  });
});
