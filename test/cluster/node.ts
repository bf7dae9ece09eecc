import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { open, readFile } from 'node:fs/promises';
import path from 'node:path';
import { createConnection, type Connection, type RowDataPacket } from 'mysql2/promise';
import { atExit } from '../../scripts/mysql/cleanup';
import { boundToThisProcess, type Command } from '../../scripts/mysql/processes';
import { pause } from '../support/helpers';

/** A server that is not frozen answers a small query within this time, in milliseconds. */
const askedMs = 2_000;

/** A database server of a cluster, in a process that can be killed, frozen and thawed. */
export class Node {
  readonly data: string;
  private readonly socket: string;
  private readonly logFile: string;
  private child: ChildProcess | undefined;
  private frozenSinceStart = false;

  /**
   * @param command starts the server; where its data is and what it listens on is added.
   * @param folder exists, and is removed by whoever made it.
   */
  constructor(
    readonly name: string,
    readonly port: number,
    private readonly command: Command,
    folder: string,
    private readonly env: Readonly<Record<string, string | undefined>> = process.env,
  ) {
    this.data = path.join(folder, name);
    this.socket = path.join(folder, `${name}.socket`);
    this.logFile = path.join(folder, `${name}.log`);
  }

  /** Starts the server with some more options, and waits until it answers. */
  async start(options: readonly string[] = []): Promise<void> {
    const [program, ...args] = await boundToThisProcess([
      ...this.command,
      ...(process.getuid?.() === 0 ? ['--user=root'] : []),
      `--datadir=${this.data}`,
      `--socket=${this.socket}`,
      `--pid-file=${this.socket}.pid`,
      `--port=${this.port}`,
      '--bind-address=127.0.0.1',
      ...options,
    ]);
    const log = await open(this.logFile, 'a');
    // In a group of its own, what the server starts is killed with it.
    const child = spawn(program, args, {
      detached: true,
      env: this.env,
      stdio: ['ignore', log.fd, log.fd],
    });
    await log.close();
    this.child = child;
    this.frozenSinceStart = false;
    child.once('exit', atExit(killed(child)));
    while (!(await this.answers())) {
      if (hasExited(child)) throw new Error(`node ${this.name} ended:\n${await this.lastWords()}`);
      await pause(50);
    }
  }

  /** Ends the server as a crash does, also if it is frozen. */
  async kill(): Promise<void> {
    const { child } = this;
    this.child = undefined;
    if (!child || hasExited(child)) return;
    const exit = once(child, 'exit');
    killed(child)();
    await exit;
  }

  /** Starts a server that was killed, or has a frozen one go on. */
  async startOrThaw(): Promise<void> {
    if (!this.child || hasExited(this.child)) await this.start();
    else this.thaw();
  }

  /** Whether the server has ended by itself: nobody has killed it. */
  get hasCrashed(): boolean {
    return this.child !== undefined && hasExited(this.child);
  }

  /** Whether the server was frozen since it was started. */
  get wasFrozen(): boolean {
    return this.frozenSinceStart;
  }

  /** Freezes the server: its connections stay open, and nothing is answered. */
  freeze(): void {
    this.frozenSinceStart = true;
    this.child?.kill('SIGSTOP');
  }

  /** Has a frozen server go on as if nothing had happened. */
  thaw(): void {
    this.child?.kill('SIGCONT');
  }

  /** Opens a connection as the administrator of the server. */
  connect(): Promise<Connection> {
    return createConnection({
      socketPath: this.socket,
      user: 'root',
      connectTimeout: askedMs,
      // Values as they are stored, to the last digit.
      timezone: 'Z',
      dateStrings: true,
      supportBigNumbers: true,
      bigNumberStrings: true,
      jsonStrings: true,
    });
  }

  /** Runs statements on a connection of their own, and returns the rows of the last one. */
  async run(...statements: readonly string[]): Promise<RowDataPacket[]> {
    const connection = await this.connect();
    try {
      let rows: RowDataPacket[] = [];
      for (const statement of statements)
        [rows] = await connection.query<RowDataPacket[]>(statement);
      return rows;
    } finally {
      connection.destroy();
    }
  }

  /** Sends a query, and fails if the answer does not come soon, because the server is frozen. */
  async ask(question: string): Promise<RowDataPacket[]> {
    const connection = await this.connect();
    try {
      const [rows] = await connection.query<RowDataPacket[]>({ sql: question, timeout: askedMs });
      return rows;
    } finally {
      connection.destroy();
    }
  }

  /** What the server has logged last. */
  async lastWords(): Promise<string> {
    return (await readFile(this.logFile, 'utf8')).trimEnd().split('\n').slice(-20).join('\n');
  }

  private async answers(): Promise<boolean> {
    return this.ask('SELECT 1').then(
      () => true,
      () => false,
    );
  }
}

function hasExited(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

function killed(child: ChildProcess): () => void {
  return () => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    } catch {
      // It has just ended by itself.
    }
  };
}
