import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** A way to a service that can be closed and opened again, as if the service had crashed and come back. */
export class Passage {
  private readonly sockets = new Set<Socket>();

  private constructor(
    private readonly server: Server,
    readonly port: number,
  ) {}

  /** Opens a way to a port of this machine. */
  static async open(to: number): Promise<Passage> {
    const server = createServer();
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const passage = new Passage(server, (server.address() as AddressInfo).port);
    server.on('connection', (client) => {
      passage.join(client, connect(to, '127.0.0.1'));
    });
    return passage;
  }

  /** Cuts all connections, and lets no new ones in. */
  async close(): Promise<void> {
    this.server.close();
    for (const socket of this.sockets) socket.destroy();
    await once(this.server, 'close');
  }

  async openAgain(): Promise<void> {
    await once(this.server.listen(this.port, '127.0.0.1'), 'listening');
  }

  private join(client: Socket, service: Socket): void {
    for (const [from, to] of [
      [client, service],
      [service, client],
    ] as const) {
      this.sockets.add(from);
      from.pipe(to);
      from.on('error', () => undefined);
      from.on('close', () => {
        this.sockets.delete(from);
        to.destroy();
      });
    }
  }
}
