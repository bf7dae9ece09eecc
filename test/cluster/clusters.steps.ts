import { AssertionError, expect } from 'chai';
import { sessionKinds } from '../../src/model/session';
import { seedDemo } from '../../src/demo';
import type { Database } from '../../src/db/database';
import { must } from '../../src/model/must';
import { createSigner, createTenant, type Signer } from '../support/fixtures';
import { eventually } from '../support/helpers';
import { open } from '../support/mysql';
import { ServiceProcess } from '../support/process';
import { audit } from './audit';
import { addressFor, others, type Cluster } from './cluster';
import { galera } from './galera';
import { groupReplication } from './group-replication';
import { Callers, Load, nameOf, ordersFor, type Source } from './load';
import type { Node } from './node';

/** Two processes of the service on a cluster, called by applications that follow the docs. */
for (const engine of [groupReplication, galera]) {
  describe(`on ${engine.name}`, () => {
    let cluster: Cluster;
    let db: Database;
    let signer: Signer;
    let services: readonly ServiceProcess[];
    let callers: Callers;
    const sources: Source[] = [];

    before(async () => {
      cluster = await engine.start();
      const { port } = cluster.proxy;
      const migration = ServiceProcess.run(['migrate'], {
        DATABASE_URL: addressFor('migrations', port),
      });
      if ((await migration.ended()) !== 0) throw new Error(migration.errors);
      db = open(addressFor('migrations', port));
      signer = await createSigner();
      for (let count = 0; count < 8; count++) sources.push(...(await seedSources(db)));
      services = await Promise.all(
        [1, 2].map(() =>
          ServiceProcess.serve({
            DATABASE_URL: addressFor('service', port),
            SHARE_TOKEN_JWKS: signer.jwks,
            SHARE_TOKEN_SIGNING_KEY: signer.signingKey,
            SESSION_BASE_URL: 'https://verify.example.com/session',
          }),
        ),
      );
      callers = new Callers(await Promise.all(services.map((service) => service.port())));
    });
    after(async () => {
      callers.close();
      await Promise.all(services.map((service) => service.stop()));
      await signer.remove();
      await db.destroy();
      await cluster.stop();
    });

    afterEach(function () {
      if (!this.currentTest?.isFailed()) return;
      const problems = services.flatMap(({ logLines }) =>
        logLines.filter((line) => /"level":"?(error|50)/.test(line)),
      );
      console.log(problems.slice(-10).join('\n'));
    });

    /** Waits for a node that takes writes, other than the one that did, and prints how long that took. */
    async function nextWriter(before?: Node): Promise<Node> {
      const since = Date.now();
      let writer: Node | undefined;
      await eventually(async () => {
        writer = await cluster.writer();
        return writer !== undefined && writer !== before;
      });
      if (before) print(`another node takes writes after ${seconds(Date.now() - since)}`);
      return must(writer, 'a writer');
    }

    /** Imports all the time while a fault is made and mended, and then looks at what every node has. */
    async function underLoad(fault: (load: Load, writer: Node) => Promise<void>): Promise<void> {
      const tenants = await Promise.all(Array.from({ length: 60 }, () => createTenant(db)));
      const load = new Load(callers, await ordersFor(sources, tenants, signer));
      await load.goesOn();
      load.watch();
      await fault(load, await nextWriter());
      await load.goesOn();
      await load.stop();
      expect(load.errors).to.deep.equal([]);
      const counts: number[] = [];
      for (const node of cluster.nodes) {
        const look = async () => {
          await cluster.caughtUp(node);
          return audit(node, tenants, load.acknowledged);
        };
        // A node that crashes while it is asked is asked again, once. What it answers is never overlooked.
        const again = (error: unknown) => {
          if (error instanceof AssertionError) throw error;
          return look();
        };
        counts.push(await look().catch(again));
      }
      const { length } = load.acknowledged;
      print(`imports acknowledged: ${length}; on the nodes: ${counts.join(', ')}`);
      print(`the longest time without one: ${seconds(load.silence)}`);
    }

    it('a writer that is killed loses no import, and no caller sees an error', () =>
      underLoad(async (load, writer) => {
        await writer.kill();
        await nextWriter(writer);
        await load.goesOn();
        await cluster.bringBack(writer);
      }));

    it('a writer that is frozen and thawed loses no import, and no caller sees an error', () =>
      underLoad(async (load, writer) => {
        writer.freeze();
        await nextWriter(writer);
        await load.goesOn();
        await cluster.bringBack(writer);
      }));

    it('a switch-over on purpose loses no import, and no caller sees an error', () =>
      underLoad(async (load, writer) => {
        await cluster.switchOver();
        await nextWriter(writer);
        await load.goesOn();
        await cluster.switched();
      }));

    it('a writer without a majority acknowledges nothing, and goes on when the others are back', async () => {
      const tenant = await createTenant(db);
      const waiting = (await ordersFor(sources, [tenant], signer)).slice(0, 4);
      await underLoad(async (load, writer) => {
        const away = others(cluster.nodes, writer);
        await Promise.all(away.map((node) => cluster.takeAway(node)));
        await eventually(() => cluster.isAlone(writer));
        const before = load.acknowledged.length;
        const endings = await Promise.all(
          waiting.map((order) => callers.import(order, 8_000).then(() => 'OK', nameOf)),
        );
        expect(endings).not.to.include('OK');
        expect(load.acknowledged.length).to.equal(before);
        await Promise.all(away.map((node) => cluster.bringBack(node)));
        await cluster.bringBack(writer);
        for (const order of waiting) await callers.import(order);
      });
    });

    it('revoked tokens stay revoked after a switch-over, and a repeated request gets the same answer', async () => {
      const orders = await ordersFor(sources, [await createTenant(db)], signer);
      const answers = await Promise.all(orders.map((order) => callers.import(order)));
      const [first, second] = await ordersFor(sources, [await createTenant(db)], signer);
      const early = await callers.share(must(first, 'an order'));
      const late = await callers.share(must(second, 'an order'));
      const writer = await nextWriter();
      await callers.revoke(early.order, early.shareTokenId);
      await cluster.switchOver();
      await callers.revoke(late.order, late.shareTokenId);
      const endings = () =>
        Promise.all(
          [early, late].map(({ order }) => callers.import(order).then(() => 'OK', nameOf)),
        );
      expect(await endings()).to.deep.equal(['SHARE_TOKEN_REVOKED', 'SHARE_TOKEN_REVOKED']);
      await nextWriter(writer);
      expect(await endings()).to.deep.equal(['SHARE_TOKEN_REVOKED', 'SHARE_TOKEN_REVOKED']);
      const again = await Promise.all(orders.map((order) => callers.import(order)));
      expect(again).to.deep.equal(answers);
      await cluster.switched();
    });

    it('an import and a revocation during a switch-over agree on which of them was first', async () => {
      const orders = await ordersFor(sources, [await createTenant(db)], signer);
      const shared = await Promise.all(orders.map((order) => callers.share(order)));
      const racing = shared.map(async ({ order, shareTokenId }) => {
        const importing = callers.import(order).then(() => 'OK', nameOf);
        const { redeemed } = await callers.revoke(order, shareTokenId);
        return [await importing, redeemed];
      });
      await cluster.switchOver();
      for (const ending of await Promise.all(racing))
        expect(ending).to.be.deep.oneOf([
          ['OK', 1],
          ['SHARE_TOKEN_REVOKED', 0],
        ]);
      await cluster.switched();
    });
  });
}

function print(line: string): void {
  console.log(`      ${line}`);
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1_000).toFixed(1)} s`;
}

/** Adds a source application with a rich session of each kind. */
async function seedSources(db: Database): Promise<Source[]> {
  const { source } = await seedDemo(db);
  const { applicationId, apiKey, userSessionId, businessSessionId } = source;
  const ids = { user: userSessionId, business: businessSessionId };
  return sessionKinds.map((kind) => ({ kind, applicationId, apiKey, sessionId: ids[kind] }));
}
