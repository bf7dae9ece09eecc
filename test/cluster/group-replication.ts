import { randomUUID } from 'node:crypto';
import path from 'node:path';
import { mysqlFromDebian } from '../../scripts/mysql/debian';
import { run, type Command } from '../../scripts/mysql/processes';
import { must } from '../../src/model/must';
import { eventually } from '../support/helpers';
import { others, temporaryFolder, usersAndDatabase, type Cluster, type Engine } from './cluster';
import { settings, startHaProxy } from './haproxy';
import { Node } from './node';
import { freePorts } from './ports';

/** So that three servers fit on a small machine, and nobody waits for its disk. */
const small = [
  ...['--innodb-buffer-pool-size=64M', '--innodb-redo-log-capacity=32M'],
  ...['--innodb-flush-log-at-trx-commit=2', '--sync-binlog=0'],
  ...['--mysqlx=OFF', '--secure-file-priv=NULL', '--max-connections=150'],
];

const joined = "MEMBER_ID = @@server_uuid AND MEMBER_STATE = 'ONLINE'";

/** MySQL Group Replication with a single primary. */
export const groupReplication: Engine = { name: 'Group Replication', start };

async function start(): Promise<Cluster> {
  const folder = await temporaryFolder();
  const [program, ...given] = await mysqlFromDebian();
  const command: Command = [
    program,
    // The file of settings comes first, in place of "no settings".
    ...given.map((arg) => (arg === '--no-defaults' ? defaults : arg)),
  ];
  const ports = await freePorts(3);
  const replication = await freePorts(3);
  const seeds = replication.map((port) => `127.0.0.1:${port}`).join();
  const group = randomUUID();
  const nodes = ports.map(
    (port, index) =>
      new Node(
        must('abc'[index], 'a name'),
        port,
        [
          ...command,
          ...small,
          `--server-id=${index + 1}`,
          ...[`--report-host=127.0.0.1`, `--report-port=${port}`],
          `--loose-group-replication-group-name=${group}`,
          `--loose-group-replication-local-address=127.0.0.1:${must(replication[index], 'a port')}`,
          `--loose-group-replication-group-seeds=${seeds}`,
        ],
        folder.path,
      ),
  );
  await initialise([program, ...given], nodes, folder.path);
  await Promise.all(nodes.map((node) => node.start()));
  const [first] = nodes;
  for (const node of nodes) {
    await node.run(
      `CHANGE REPLICATION SOURCE TO SOURCE_USER = 'replication', SOURCE_PASSWORD = 'of-replication'
         FOR CHANNEL 'group_replication_recovery'`,
    );
    if (node === first) await bootstrap(node);
    else await node.run('START GROUP_REPLICATION');
    await node.run('SET PERSIST group_replication_start_on_boot = ON');
  }
  const proxy = await startHaProxy('haproxy-group-replication.cfg', nodes, folder.path);
  const isIn = (node: Node) => says(node, joined);
  const writer = async () => {
    for (const node of nodes)
      if (await says(node, `${joined} AND MEMBER_ROLE = 'PRIMARY' AND NOT @@super_read_only`))
        return node;
    return undefined;
  };
  return {
    nodes,
    proxy,
    writer,
    async switchOver() {
      const from = must(await writer(), 'a primary');
      const [to] = others(nodes, from);
      const [row] = await to.run('SELECT @@server_uuid AS id');
      await to.run(`SELECT group_replication_set_as_primary('${String(row?.['id'])}')`);
    },
    switched: () => Promise.resolve(),
    // Frozen and not killed: if two were killed, somebody would have to start the group again.
    takeAway(node) {
      node.freeze();
      return Promise.resolve();
    },
    async bringBack(node) {
      await node.startOrThaw();
      await eventually(async () => {
        if (await waitsToJoin(node)) await rejoin(node);
        return isIn(node);
      });
    },
    isAlone: (node) =>
      says(
        node,
        `MEMBER_ID = @@server_uuid AND
           (SELECT SUM(MEMBER_STATE = 'UNREACHABLE') FROM performance_schema.replication_group_members) = 2`,
      ),
    async caughtUp(node) {
      const [row] = await must(await writer(), 'a primary').run('SELECT @@gtid_executed AS done');
      await node.run(`SELECT WAIT_FOR_EXECUTED_GTID_SET('${String(row?.['done'])}')`);
    },
    async stop() {
      await proxy.stop();
      await Promise.all(nodes.map((node) => node.kill()));
      folder.remove();
    },
  };
}

const defaults = `--defaults-file=${path.join(settings, 'group-replication.cnf')}`;

/** Makes the data of the first node, and copies it for the others. Without auto.cnf, each makes its own UUID. */
async function initialise(command: Command, nodes: readonly Node[], folder: string): Promise<void> {
  const template = path.join(folder, 'template');
  const user = process.getuid?.() === 0 ? ['--user=root'] : [];
  await run([...command, ...user, '--initialize-insecure', `--datadir=${template}`]);
  await run(['rm', path.join(template, 'auto.cnf')]);
  for (const { data } of nodes) await run(['cp', '-R', template, data]);
  await run(['rm', '-r', template]);
}

async function bootstrap(node: Node): Promise<void> {
  await node.run(
    'SET GLOBAL group_replication_bootstrap_group = ON',
    'START GROUP_REPLICATION',
    'SET GLOBAL group_replication_bootstrap_group = OFF',
  );
  await eventually(() => says(node, `${joined} AND NOT @@super_read_only`));
  await node.run(
    "CREATE USER replication@'%' IDENTIFIED BY 'of-replication'",
    "GRANT REPLICATION SLAVE, CONNECTION_ADMIN, BACKUP_ADMIN, GROUP_REPLICATION_STREAM ON *.* TO replication@'%'",
    "CREATE USER haproxy_check@'%'",
    "GRANT SELECT ON performance_schema.replication_group_members TO haproxy_check@'%'",
    ...usersAndDatabase,
  );
}

/**
 * Whether a node was expelled, and has failed to join again: a server tries that at once, and then after five
 * minutes (MySQL manual, "Auto-Rejoin"). docs/clusters.md says what to do in place of waiting.
 */
async function waitsToJoin(node: Node): Promise<boolean> {
  if (!(await says(node, "MEMBER_ID = @@server_uuid AND MEMBER_STATE IN ('ERROR', 'OFFLINE')")))
    return false;
  return (await node.lastWords()).includes('Member was not able to join the group');
}

async function rejoin(node: Node): Promise<void> {
  console.log(`      node ${node.name} was expelled and could not join, and is told to join again`);
  // If that fails as well, it is told once more.
  await node.run('STOP GROUP_REPLICATION', 'START GROUP_REPLICATION').catch(() => undefined);
}

/** Whether a node's view of the group has a member for which a condition holds. A node that is down says no. */
async function says(node: Node, condition: string): Promise<boolean> {
  const [row] = await node
    .ask(
      `SELECT COUNT(*) AS members FROM performance_schema.replication_group_members WHERE ${condition}`,
    )
    .catch(() => []);
  return Number(row?.['members']) > 0;
}
