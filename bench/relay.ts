/**
 * A TCP relay that stands for a network: what the server says arrives later by a fixed time. A process of its
 * own, so that its processor time counts for nobody.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/** Where a relay leads to, and the time it adds to a round trip, in milliseconds. */
interface Way {
  readonly host: string;
  readonly port: number;
  readonly milliseconds: number;
}

/** A relay that runs. */
export interface Relay {
  /** The database's address, by way of the relay. */
  readonly url: string;
  stop(): void;
}

/** Puts a network between a server and whoever uses the address that is returned. */
export async function startRelay(url: string, milliseconds: number): Promise<Relay> {
  const target = new URL(url);
  const child = fork(__filename, { execArgv: ['-r', 'sucrase/register'] });
  const way: Way = { host: target.hostname, port: Number(target.port), milliseconds };
  child.send(way);
  const [port] = (await once(child, 'message')) as [number];
  target.port = String(port);
  return {
    url: target.href,
    stop: () => {
      child.kill();
    },
  };
}

function relay({ host, port, milliseconds }: Way): void {
  const server = createServer((client) => {
    const upstream = connect(port, host);
    for (const socket of [client, upstream]) socket.setNoDelay(true);
    pass(client, upstream, 0);
    pass(upstream, client, milliseconds);
  });
  server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port));
}

/** Passes on what one side says. Timers of one length fire in their order, so nothing overtakes anything. */
function pass(from: Socket, to: Socket, milliseconds: number): void {
  const later = (act: () => void): void => {
    if (milliseconds > 0) setTimeout(act, milliseconds);
    else act();
  };
  from.on('data', (chunk) => {
    later(() => to.write(chunk));
  });
  from.on('error', () => undefined);
  from.on('close', () => {
    later(() => to.destroy());
  });
}

// Loaded by `startRelay` in a process of its own.
if (require.main === module) {
  process.once('message', relay);
  process.once('disconnect', () => process.exit());
}
