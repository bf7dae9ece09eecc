/**
 * A TCP relay that imitates a network: it delays what the server sends by a fixed time. It runs in its own process,
 * so that its processor time is not counted for any contestant.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/** Where a relay leads, and the time that it adds to a round trip, in milliseconds. */
interface Way {
  readonly host: string;
  readonly port: number;
  readonly milliseconds: number;
}

/** A running relay. */
export interface Relay {
  /** The address of the database through the relay. */
  readonly url: string;
  stop(): void;
}

/** Starts a relay in front of a server. Its `url` is to be used instead of the server's own. */
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

/** Passes on what one side sends. Timers of equal length fire in the order of their start, so bytes stay in order. */
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

// `startRelay` runs this file in its own process.
if (require.main === module) {
  process.once('message', relay);
  process.once('disconnect', () => process.exit());
}
