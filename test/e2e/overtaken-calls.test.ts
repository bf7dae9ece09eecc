import { expect } from 'chai';
import { ImportSessionRequest } from '../../src/gen/sessionimport/v1/session_import';
import { newId, toBinary, type ConnectionId, type SessionId } from '../../src/model/ids';
import { must } from '../../src/model/must';
import { endings } from '../support/client';
import { connect, disconnect } from '../support/connections';
import { addLogs, createSession, createTenant, type Tenant } from '../support/fixtures';
import { select } from '../support/rows';
import { startProxiedHarness, type ProxiedHarness } from '../support/service';

/** The place in the group of the application whose facts change: neither first nor last. */
const place = 2;

/** An application that imports, with its session and what it rests on. */
interface Importing {
  readonly target: Tenant;
  readonly original: SessionId;
  readonly connectionId: ConnectionId;
}

describe('a call whose group finds that others have changed what it rests on', () => {
  let harness: ProxiedHarness;
  before(async () => {
    harness = await startProxiedHarness({ REQUIRE_CONNECTIONS: 'true', IMPORT_WORKERS: '1' });
    await connect(harness.client, harness.source, harness.target);
  });
  after(() => harness.stop());
  afterEach(() => {
    harness.proxy.intercept = undefined;
  });

  const newImporting = async (): Promise<Importing> => {
    const { db, client, source } = harness;
    const target = await createTenant(db);
    const original = await createSession(db, source, 'user');
    await addLogs(db, 'user', original, 2);
    return { target, original, connectionId: await connect(client, source, target) };
  };

  const importing = async (target: Tenant, original: SessionId): Promise<unknown> =>
    harness.client.import(
      target.apiKey,
      ImportSessionRequest.fromPartial({
        shareToken: await harness.signer.share(harness.source, target, 'user', original),
        workflowId: target.workflows.user,
        vendorData: 'somebody',
      }),
    );

  /** Lets applications import in one group. @param atClaims runs before each claim, and gets those who claim. */
  async function inOneGroup(
    all: readonly Importing[],
    atClaims: (claiming: readonly Importing[]) => Promise<void>,
  ): Promise<readonly Promise<unknown>[]> {
    const { proxy, source, target, db } = harness;
    const first = proxy.holdBack('LOCK IN SHARE MODE');
    const warm = importing(target, await createSession(db, source, 'user'));
    await first.came;
    const calls = all.map((each) => importing(each.target, each.original));
    await harness.queued(all.length);
    proxy.intercept = ({ sql }) => {
      if (!sql.startsWith('INSERT INTO session_imports')) return undefined;
      const claiming = all.filter(({ original }) =>
        sql.includes(toBinary(original).toString('hex')),
      );
      return claiming.length > 0 ? atClaims(claiming) : undefined;
    };
    first.letGo();
    await warm;
    return calls;
  }

  const changes: Readonly<
    Record<
      string,
      {
        readonly change: (call: Importing) => Promise<void>;
        readonly ending: string;
      }
    >
  > = {
    'its connection': {
      change: async ({ target, connectionId }) => {
        await disconnect(harness.client, harness.source, connectionId);
        await connect(harness.client, harness.source, target);
      },
      ending: 'OK',
    },
    'its vendor entity': {
      change: async ({ target }) => {
        await harness.db('vendor_users').insert({
          id: toBinary(newId()),
          application_id: toBinary(target.applicationId),
          vendor_data: Buffer.from('somebody'),
          created_at: new Date(),
        });
      },
      ending: 'OK',
    },
    'its workflow': {
      change: async ({ target }) => {
        await harness
          .db('workflows')
          .where({ id: toBinary(target.workflows.user) })
          .delete();
      },
      ending: 'WORKFLOW_NOT_FOUND',
    },
    'the rows of its source, without a lock': {
      change: async ({ original }) => {
        await harness
          .db('user_logs')
          .where({ session_id: toBinary(original), ordinal: 1 })
          .delete();
      },
      ending: 'OK',
    },
  };
  for (const [what, { change, ending }] of Object.entries(changes)) {
    it(`(${what}) is tried again apart from the others, which are imported at once`, async () => {
      const all = await Promise.all(Array.from({ length: 6 }, newImporting));
      const changed = must(all[place], 'the application whose facts change');
      const tries: (readonly Importing[])[] = [];
      const calls = await inOneGroup(all, async (claiming) => {
        tries.push(claiming);
        if (tries.length === 1) await change(changed);
      });
      expect(await endings(calls)).to.deep.equal(
        calls.map((_, index) => (index === place ? ending : 'OK')),
      );
      const others = all.filter((each) => each !== changed);
      const alone = ending === 'OK' ? [[changed]] : [];
      expect(tries).to.deep.equal([all, others, ...alone]);
      for (const { target } of all) {
        const [count] = await select(
          'SELECT COUNT(*) AS n FROM user_sessions WHERE application_id = ?',
          [toBinary(target.applicationId)],
        );
        expect(Number(count?.['n'])).to.equal(target === changed.target && ending !== 'OK' ? 0 : 1);
      }
    });
  }
});
