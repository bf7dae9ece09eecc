import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { run } from '../../scripts/mysql/processes';
import { must } from '../../src/model/must';
import { eventually } from '../support/helpers';
import { temporaryFolder, usersAndDatabase, type Cluster, type Engine } from './cluster';
import { settings, startHaProxy } from './haproxy';
import { mariaDb } from './mariadb';
import { Node } from './node';
import { freePorts } from './ports';

/** So that three nodes fit on a small machine, and nobody waits for its disk. */
const small = [
  ...['--innodb-buffer-pool-size=64M', '--innodb-log-file-size=32M'],
  ...['--innodb-flush-log-at-trx-commit=2', '--max-connections=150'],
];

/** MariaDB with Galera, with one node that is written to. */
export const galera: Engine = { name: 'Galera', start };

async function start(): Promise<Cluster> {
  const folder = await temporaryFolder();
  const mariadb = await mariaDb(folder.path);
  const ports = await freePorts(3);
  // Of each node: for the group, for missed transactions, for a whole copy.
  const addresses = await Promise.all(ports.map(() => freePorts(3)));
  const members = addresses.map(([port]) => `127.0.0.1:${port ?? 0}`).join();
  const nodes = ports.map((port, index) => {
    const [group = 0, missed = 0, whole = 0] = addresses[index] ?? [];
    return new Node(
      must('abc'[index], 'a name'),
      port,
      [
        mariadb.server,
        `--defaults-file=${path.join(settings, 'galera.cnf')}`,
        `--basedir=${mariadb.base}`,
        ...small,
        `--wsrep-provider=${mariadb.galera}`,
        `--wsrep-node-name=${must('abc'[index], 'a name')}`,
        `--wsrep-cluster-address=gcomm://${members}`,
        '--wsrep-node-address=127.0.0.1',
        `--wsrep-sst-receive-address=127.0.0.1:${whole}`,
        '--wsrep-provider-options=' +
          [
            `gmcast.listen_addr=tcp://127.0.0.1:${group}`,
            `ist.recv_addr=127.0.0.1:${missed}`,
            'gcache.size=64M',
          ].join('; '),
      ],
      folder.path,
      { ...process.env, PATH: mariadb.path },
    );
  });
  const [first, ...joining] = nodes;
  const bootstrap = must(first, 'a first node');
  for (const { data } of nodes) await mkdir(data);
  await run([
    path.join(mariadb.base, 'bin/mariadb-install-db'),
    ...['--no-defaults', `--basedir=${mariadb.base}`, `--datadir=${bootstrap.data}`],
    ...['--auth-root-authentication-method=normal', '--skip-test-db'],
    ...(process.getuid?.() === 0 ? ['--user=root'] : []),
  ]);
  await bootstrap.start(['--wsrep-new-cluster']);
  await bootstrap.run(
    // Anonymous local users would take precedence over users who may come from anywhere.
    "DELETE FROM mysql.global_priv WHERE User = ''",
    'FLUSH PRIVILEGES',
    "CREATE USER haproxy_check@'%'",
    ...usersAndDatabase,
  );
  for (const node of joining) {
    await node.start();
    await eventually(() => isIn(node));
  }
  const proxy = await startHaProxy('haproxy-galera.cfg', nodes, folder.path);
  let resting: Node | undefined;
  const statusOf = async (name: string): Promise<string> => {
    const servers = await proxy.command('show stat');
    return new RegExp(`^mysql,${name},(?:[^,]*,){15}([^,]*),`, 'm').exec(servers)?.[1] ?? '';
  };
  /** Waits until the proxy knows that a node works, and has moved its connections accordingly. */
  const isUp = (node: Node) =>
    eventually(async () => {
      await revive(node);
      return (await statusOf(node.name)) === 'UP';
    });
  for (const node of nodes) await isUp(node);
  const writer = async () => {
    for (const node of nodes) if ((await statusOf(node.name)).startsWith('UP')) return node;
    return undefined;
  };
  return {
    nodes,
    proxy,
    writer,
    async switchOver() {
      resting = must(await writer(), 'a writer');
      await proxy.command(`set server mysql/${resting.name} state maint`);
    },
    async switched() {
      if (!resting) return;
      await proxy.command(`set server mysql/${resting.name} state ready`);
      await isUp(resting);
      resting = undefined;
    },
    // Killed nodes know each other again when they are started, and go on. Frozen ones may not.
    takeAway: (node) => node.kill(),
    async bringBack(node) {
      await node.startOrThaw();
      await eventually(async () => {
        await revive(node);
        // A node that was frozen may leave its cluster for good, and then has to be restarted.
        if ((await clusterStatus(node)) === 'Disconnected') {
          await node.kill();
          await node.start();
        }
        return isIn(node);
      });
      await isUp(node);
    },
    isAlone: async (node) => (await clusterStatus(node)) === 'non-Primary',
    async caughtUp(node) {
      await eventually(async () => {
        await revive(node);
        return isIn(node);
      });
      await node.run('SET SESSION wsrep_sync_wait = 1', 'SELECT COUNT(*) FROM mysql.global_priv');
    },
    async stop() {
      await proxy.stop();
      await Promise.all(nodes.map((node) => node.kill()));
      folder.remove();
    },
  };
}

/**
 * Starts a node again that has crashed after it was thawed, as an init system does (docs/clusters.md). Once: it
 * is not frozen any more then, and any other crash fails the test.
 */
async function revive(node: Node): Promise<void> {
  if (!node.hasCrashed) return;
  const words = await node.lastWords();
  if (!node.wasFrozen) throw new Error(`node ${node.name} has crashed:\n${words}`);
  console.log(`      node ${node.name} has crashed after it was thawed, and is started again`);
  await node.start();
}

async function clusterStatus(node: Node): Promise<unknown> {
  const [row] = await node.ask("SHOW STATUS LIKE 'wsrep_cluster_status'").catch(() => []);
  return row?.['Value'];
}

/** In Galera, state 4 is Synced. */
const synced = '4,Primary';

/** Whether a node has everything, and belongs to the majority. */
async function isIn(node: Node): Promise<boolean> {
  const rows = await node
    .ask("SHOW STATUS WHERE Variable_name IN ('wsrep_cluster_status', 'wsrep_local_state')")
    .catch(() => []);
  return (
    rows
      .map((row) => String(row['Value']))
      .sort()
      .join() === synced
  );
}
