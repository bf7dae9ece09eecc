import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { unpackFromDebian } from '../../scripts/debian';
import { atExit } from '../../scripts/mysql/cleanup';
import { boundToThisProcess } from '../../scripts/mysql/processes';
import { eventually } from '../support/helpers';
import type { Node } from './node';
import { freePorts } from './ports';

/** A running HAProxy, with one of the configurations that the docs recommend. */
export interface HaProxy {
  readonly port: number;
  /** Has it do something at run time (HAProxy management guide, "Unix Socket commands"). */
  command(line: string): Promise<string>;
  stop(): Promise<void>;
}

/** The folder of the files that the docs tell the reader to use. */
export const settings = path.join(__dirname, '..', '..', 'deploy', 'cluster');

/**
 * Starts HAProxy in front of the nodes.
 *
 * @param config the name of its configuration in `deploy/cluster`.
 * @param folder for its socket.
 */
export async function startHaProxy(
  config: string,
  nodes: readonly Node[],
  folder: string,
): Promise<HaProxy> {
  const { command } = await unpackFromDebian({
    title: 'HAProxy',
    suite: 'bookworm',
    packages: ['haproxy'],
    unneeded: [],
    megabytes: 15,
  });
  const [port = 0] = await freePorts(1);
  const socket = path.join(folder, 'haproxy.socket');
  const [a, b, c] = nodes.map((node) => `127.0.0.1:${node.port}`);
  const [program, ...args] = await boundToThisProcess([
    ...command('sbin/haproxy'),
    ...['-db', '-f', path.join(settings, config)],
  ]);
  const child = spawn(program, args, {
    detached: true,
    stdio: 'ignore',
    env: {
      PATH: process.env['PATH'],
      HAPROXY_LISTEN: `127.0.0.1:${port}`,
      HAPROXY_SOCKET: socket,
      NODE_A: a,
      NODE_B: b,
      NODE_C: c,
    },
  });
  const exit = once(child, 'exit');
  const forget = atExit(() => child.kill('SIGKILL'));

  const ask = async (line: string): Promise<string> => {
    const connection = connect(socket);
    connection.end(`${line}\n`);
    return text(connection);
  };
  await eventually(() => {
    if (child.exitCode !== null) throw new Error(`HAProxy does not start with ${config}`);
    return ask('show info').then(
      () => true,
      () => false,
    );
  });
  return {
    port,
    command: ask,
    async stop() {
      child.kill('SIGKILL');
      await exit;
      forget();
    },
  };
}
