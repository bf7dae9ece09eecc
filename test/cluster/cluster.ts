import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { atExit, removeFolder } from '../../scripts/mysql/cleanup';
import { must } from '../../src/model/must';
import type { HaProxy } from './haproxy';
import type { Node } from './node';

/** The database of the service, on every node. */
export const database = 'session_import';

/** A running cluster of three nodes, behind a proxy that leads to the one that takes writes. */
export interface Cluster {
  readonly nodes: readonly Node[];
  readonly proxy: HaProxy;
  /** The node that takes writes at this moment; undefined if there is none. */
  writer(): Promise<Node | undefined>;
  /** Has another node take the writes, as an operator does. */
  switchOver(): Promise<void>;
  /** Undoes what `switchOver` leaves to be undone. */
  switched(): Promise<void>;
  /** Kills or freezes a node, so that it can be brought back even if no majority is left. */
  takeAway(node: Node): Promise<void>;
  /** Starts a node that was killed, or thaws one that was frozen, and waits until it is in the cluster. */
  bringBack(node: Node): Promise<void>;
  /** Whether a node knows that it has lost the majority. */
  isAlone(node: Node): Promise<boolean>;
  /** Waits until a node has everything that the cluster has committed. */
  caughtUp(node: Node): Promise<void>;
  stop(): Promise<void>;
}

/** A kind of cluster. */
export interface Engine {
  readonly name: string;
  /** Fetches it if it is not there yet, and starts three nodes with the users that the docs name. */
  readonly start: () => Promise<Cluster>;
}

/** Statements that make the database and its users, as docs/clusters.md has them. */
export const usersAndDatabase = [
  `CREATE DATABASE ${database} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin`,
  `CREATE USER session_import@'%' IDENTIFIED BY 'of-the-service'`,
  `GRANT SELECT, INSERT, UPDATE ON ${database}.* TO session_import@'%'`,
  `CREATE USER session_import_migration@'%' IDENTIFIED BY 'of-migrations'`,
  `GRANT SELECT, INSERT, UPDATE, CREATE, ALTER, DROP, INDEX, REFERENCES
     ON ${database}.* TO session_import_migration@'%'`,
];

/** The address of the database behind a proxy, for a user of the statements above. */
export function addressFor(user: 'service' | 'migrations', port: number): string {
  const [name, password] =
    user === 'service'
      ? ['session_import', 'of-the-service']
      : ['session_import_migration', 'of-migrations'];
  return `mysql://${name}:${password}@127.0.0.1:${port}/${database}`;
}

/** A folder that is gone with this process, or when it is removed. */
export async function temporaryFolder(): Promise<{ readonly path: string; remove(): void }> {
  const folder = await mkdtemp(path.join(tmpdir(), 'cluster-'));
  const remove = (): void => {
    removeFolder(folder);
  };
  const forget = atExit(remove);
  return {
    path: folder,
    remove() {
      remove();
      forget();
    },
  };
}

/** The nodes of a cluster but one. */
export function others(nodes: readonly Node[], node: Node): readonly [Node, Node] {
  const [first, second] = nodes.filter((other) => other !== node);
  return [must(first, 'a second node'), must(second, 'a third node')];
}
