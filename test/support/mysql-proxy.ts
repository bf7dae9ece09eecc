import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** A statement on its way from the service to MySQL. */
export interface Passing {
  /** The statement's text, as far as it came in one piece. */
  readonly sql: string;
  /** The length of the whole statement, in bytes. */
  readonly bytes: number;
  /** What MySQL calls the connection: what `KILL` takes. */
  readonly connectionId: number;
  /** Lets the statement through, and waits for the answer, which is held back. */
  answered(): Promise<void>;
  /** Cuts the connection on both sides. */
  cut(): void;
  /**
   * Cuts the connection to the service alone: MySQL does not know, and the transaction stays open.
   *
   * @returns what lets the statement through after all, and waits for its answer.
   */
  orphan(): () => Promise<void>;
}

/** What of a statement is looked for: a part of its text, or a pattern. */
export type Wanted = string | RegExp;

/** Statements that are held back. */
export interface Held {
  /** Resolves with the first of them when it has come. */
  readonly came: Promise<Passing>;
  /** Lets them through, and all that come after. */
  readonly letGo: () => void;
}

/** Decides what becomes of a statement; it goes on when the promise resolves. */
export type Interceptor = (statement: Passing) => Promise<void> | void;

/**
 * Stands between the service and MySQL, and makes faults at exact moments: the protocol's packets
 * pass unchanged, but each statement waits for the interceptor.
 */
export class MysqlProxy {
  intercept: Interceptor | undefined;
  private readonly onlookers = new Set<(statement: Passing) => void>();
  private readonly sockets = new Set<Socket>();

  private constructor(
    private readonly server: Server,
    readonly url: string,
    private target: URL,
  ) {}

  /** Opens a proxy on a free port, in front of the server of an address. */
  static async open(target: string): Promise<MysqlProxy> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const proxied = new URL(target);
    proxied.hostname = '127.0.0.1';
    proxied.port = String((server.address() as AddressInfo).port);
    const proxy = new MysqlProxy(server, proxied.href, new URL(target));
    server.on('connection', (client) => {
      const { port, hostname } = proxy.target;
      proxy.join(client, connect(Number(port), hostname));
    });
    return proxy;
  }

  /** Leads new connections to the server of another address; those that are open stay where they are. */
  leadTo(target: string): void {
    this.target = new URL(target);
  }

  /** Waits for the next statement that fits, which is let through. */
  passing(wanted: Wanted): Promise<Passing> {
    return new Promise((resolve) => {
      const look = (statement: Passing): void => {
        if (!fits(statement, wanted)) return;
        this.onlookers.delete(look);
        resolve(statement);
      };
      this.onlookers.add(look);
    });
  }

  /** Holds back the statements that fit. It takes the place of the interceptor. */
  holdBack(wanted: Wanted): Held {
    let letGo = (): void => undefined;
    const held = new Promise<void>((resolve) => (letGo = resolve));
    this.intercept = (statement) => (fits(statement, wanted) ? held : undefined);
    return { came: this.passing(wanted), letGo };
  }

  close(): void {
    this.server.close();
    for (const socket of this.sockets) socket.destroy();
  }

  private join(client: Socket, mysql: Socket): void {
    let orphaned = false;
    const cut = (): void => {
      client.destroy();
      if (!orphaned) mysql.destroy();
    };
    for (const socket of [client, mysql]) {
      this.sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', cut);
      socket.on('close', () => {
        this.sockets.delete(socket);
        cut();
      });
    }
    let connectionId = 0;
    let holdAnswer: ((answer: Buffer) => void) | undefined;
    mysql.on('data', (chunk) => {
      if (connectionId === 0) connectionId = connectionIdOf(chunk);
      if (holdAnswer) holdAnswer(chunk);
      else client.write(chunk);
    });
    client.on('data', (chunk) => {
      void (async () => {
        const sql = statementOf(chunk);
        const sent = { already: false };
        const answered = async (): Promise<void> => {
          sent.already = true;
          const answer = new Promise<Buffer>((resolve) => (holdAnswer = resolve));
          mysql.write(chunk);
          await Promise.race([answer, once(mysql, 'close')]);
        };
        const orphan = (): (() => Promise<void>) => {
          sent.already = true;
          orphaned = true;
          client.destroy();
          return answered;
        };
        if (sql !== undefined) {
          // The packet's first three bytes are its length (MySQL internals, "Protocol::Packet").
          const bytes = chunk.readUIntLE(0, 3);
          const statement = { sql, bytes, connectionId, cut, answered, orphan };
          for (const look of [...this.onlookers]) look(statement);
          await this.intercept?.(statement);
        }
        if (!sent.already && !mysql.destroyed) mysql.write(chunk);
      })();
    });
  }
}

function fits({ sql }: Passing, wanted: Wanted): boolean {
  return typeof wanted === 'string' ? sql.includes(wanted) : wanted.test(sql);
}

/** The thread id in the server's greeting (MySQL internals, "Protocol::HandshakeV10"). */
function connectionIdOf(greeting: Buffer): number {
  const endOfVersion = greeting.indexOf(0, 5);
  return greeting.readUInt32LE(endOfVersion + 1);
}

const comQuery = 0x03;

/**
 * The text of a COM_QUERY that starts in a chunk (MySQL internals, "COM_QUERY"). Two counts of query
 * attributes may stand before it.
 */
function statementOf(chunk: Buffer): string | undefined {
  if (chunk[3] !== 0 || chunk[4] !== comQuery) return undefined;
  const start = chunk[5] === 0 && chunk[6] === 1 ? 7 : 5;
  return chunk.subarray(start).toString('latin1');
}
