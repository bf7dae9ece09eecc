import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { createHash, randomInt, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { createConnection, type ConnectionOptions } from 'mysql2/promise';
import { locateMysql, type MysqlBinaries } from './binaries';
import { cachedFolder } from './cache';
import { atExit, removeFolder } from './cleanup';
import { boundToThisProcess, run, type Command } from './processes';

/** A private MySQL server with one empty database. */
export interface MysqlServer {
  /** mysql://root@127.0.0.1:PORT/session_import */
  readonly url: string;
  /** Kills the server process at once (SIGKILL), as a crash would. */
  crash(): Promise<void>;
  /** Starts it again on the same port and data folder after `crash()`. */
  restart(): Promise<void>;
  /** Stops the server and deletes its data folder. Idempotent. */
  stop(): Promise<void>;
}

/** What a {@link MysqlServer} is made of: a server process, or a container around one. */
interface Instance {
  start(port: number): Promise<void>;
  kill(): Promise<void>;
  remove(): Promise<void>;
}

const database = 'session_import';
const startTimeoutMs = 60_000;
const portAttempts = 5;

/**
 * Starts a MySQL server for this process alone, with MySQL's own defaults. It is gone when this
 * process is. Where `DATABASE_URL` is set, that server is used as it is instead.
 *
 * @param options `mysqldArguments` are further options for `mysqld`, such as
 *   `--innodb-buffer-pool-size=1G`. Options that have to be there already when the data folder is
 *   initialised (`--lower-case-table-names`, `--innodb-page-size`) cannot be set.
 * @returns The server, which answers queries by now.
 */
export async function startMysql(
  options: { mysqldArguments?: readonly string[] } = {},
): Promise<MysqlServer> {
  if (process.env['DATABASE_URL']) return existingServer(process.env['DATABASE_URL']);

  const mysql = await locateMysql();
  const mysqldArguments = options.mysqldArguments ?? [];
  const instance =
    mysql.kind === 'program'
      ? await createProcess(mysql, mysqldArguments)
      : createContainer(mysql.image, mysqldArguments);
  try {
    const port = await startOnFreePort(instance);
    return {
      url: `mysql://root@127.0.0.1:${port}/${database}`,
      crash: () => instance.kill(),
      restart: () => instance.start(port),
      stop: () => instance.remove(),
    };
  } catch (error) {
    await instance.remove();
    throw error;
  }
}

function existingServer(url: string): MysqlServer {
  const refuse = () =>
    Promise.reject(new Error('This needs a server of its own: unset DATABASE_URL.'));
  return { url, crash: refuse, restart: refuse, stop: () => Promise.resolve() };
}

async function startOnFreePort(instance: Instance): Promise<number> {
  for (let attempt = 1; ; attempt++) {
    // Below the ports which systems hand out to clients: while the server is down after a crash,
    // none of them can take its port, nor a client that keeps trying end up connected to itself.
    const port = randomInt(20_000, 32_768);
    try {
      await instance.start(port);
      return port;
    } catch (error) {
      const portIsTaken = /already (in use|allocated)/i.test(String(error));
      if (!portIsTaken || attempt === portAttempts) throw error;
    }
  }
}

async function createProcess(
  mysql: Extract<MysqlBinaries, { kind: 'program' }>,
  mysqldArguments: readonly string[],
): Promise<Instance> {
  const template = await initialisedData(mysql);
  const folder = await mkdtemp(join(tmpdir(), 'mysql-'));
  const data = join(folder, 'data');
  // The path of a socket must not exceed some 100 characters.
  const socket = join(folder, 's');
  const logFile = join(folder, 'log');

  let server: ChildProcess | undefined;
  const forget = atExit(() => {
    server?.kill('SIGKILL');
    removeFolder(folder);
  });

  const kill = async () => {
    if (!server || hasExited(server)) return;
    // The process must not count as finished, and end, while it waits here.
    server.ref();
    server.kill('SIGKILL');
    await once(server, 'exit');
  };

  const instance: Instance = {
    async start(port) {
      await kill();
      const [program, ...args] = await boundToThisProcess([
        ...withCommonOptions(mysql.command),
        `--datadir=${data}`,
        `--socket=${socket}`,
        `--port=${port}`,
        '--bind-address=127.0.0.1',
        ...mysqldArguments,
      ]);
      const log = await open(logFile, 'w');
      const started = spawn(program, args, {
        // A Ctrl-C is for the program that uses the server, and may need it while it shuts down.
        detached: true,
        stdio: ['ignore', log.fd, log.fd],
      });
      server = started;
      await log.close();
      // A program that has come to its end is not kept alive by its database.
      started.unref();

      // Only this server has this socket, whereas the port may turn out to be someone else's.
      await createDatabase({ socketPath: socket }, async () => {
        if (!hasExited(started)) return undefined;
        return (await readFile(logFile, 'utf8')).trimEnd().split('\n').slice(-20).join('\n');
      });
    },
    kill,
    async remove() {
      // The data is thrown away, so there is nothing an orderly shutdown would be good for.
      await kill();
      await rm(folder, { recursive: true, force: true });
      forget();
    },
  };

  try {
    await run(['cp', '-R', template, data]);
  } catch (error) {
    await instance.remove();
    throw error;
  }
  return instance;
}

function hasExited(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

/** A data folder to copy: initialising one takes seconds, a copy some fifty milliseconds. */
async function initialisedData(
  mysql: Extract<MysqlBinaries, { kind: 'program' }>,
): Promise<string> {
  const command = [...withCommonOptions(mysql.command), '--initialize-insecure'] as const;
  const key = createHash('sha256').update(command.join('\0')).digest('hex').slice(0, 8);
  return cachedFolder(`data-${mysql.version}-${key}`, async (draft) => {
    await run([...command, `--datadir=${draft}`]);
    // Holds the identity of one server, which makes a new one when it is missing.
    await rm(join(draft, 'auto.cnf'));
  });
}

function withCommonOptions(command: Command): Command {
  const options = ['--loose-mysqlx=OFF', '--secure-file-priv=NULL'];
  // Unless asked for it, mysqld refuses to run as root.
  if (process.getuid?.() === 0) options.push('--user=root');
  return [...command, ...options];
}

/** Unlike a process, a container outlives this process where that is killed by SIGKILL. */
function createContainer(image: string, mysqldArguments: readonly string[]): Instance {
  const name = `session-import-${randomUUID()}`;
  const removal = ['rm', '--force', '--volumes', name];
  const remove = () => run(['docker', ...removal]);
  const forget = atExit(() => spawnSync('docker', removal));
  let created = false;

  return {
    async start(port) {
      if (created) {
        await run(['docker', 'start', name]);
      } else {
        const publish = `--publish=127.0.0.1:${port}:3306`;
        const env = '--env=MYSQL_ALLOW_EMPTY_PASSWORD=yes';
        const named = `--name=${name}`;
        try {
          await run(['docker', 'run', '--detach', named, publish, env, image, ...mysqldArguments]);
        } catch (error) {
          // A container whose port turns out to be taken stays behind, and keeps the name.
          await remove();
          throw error;
        }
        created = true;
      }
      await createDatabase({ host: '127.0.0.1', port }, async () => {
        const state = await run(['docker', 'inspect', '--format={{.State.Running}}', name]);
        if (state.stdout.trim() === 'true') return undefined;
        return (await run(['docker', 'logs', '--tail=20', name])).stderr;
      });
    },
    async kill() {
      await run(['docker', 'kill', name]);
    },
    async remove() {
      await remove();
      forget();
    },
  };
}

/**
 * Waits until the server answers, and has it create the database unless it is there already.
 *
 * @param epitaph Tells what the server logged last in case it has ended, else nothing.
 */
async function createDatabase(
  address: ConnectionOptions,
  epitaph: () => Promise<string | undefined>,
): Promise<void> {
  const deadline = Date.now() + startTimeoutMs;
  for (;;) {
    try {
      const connection = await createConnection({ ...address, user: 'root' });
      await connection.query(
        `CREATE DATABASE IF NOT EXISTS ${database} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin`,
      );
      await connection.end();
      return;
    } catch (error) {
      const lastWords = await epitaph();
      if (lastWords !== undefined) {
        throw new Error(`The MySQL server ended while it was starting:\n${lastWords}`, {
          cause: error,
        });
      }
      if (Date.now() > deadline) {
        throw new Error('The MySQL server does not answer.', { cause: error });
      }
    }
    await setTimeout(20);
  }
}
