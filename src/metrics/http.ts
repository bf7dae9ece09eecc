import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { ExposedMetrics } from './exposed';

/** How long a client may take to send its request, in milliseconds, and how often that is checked. */
const requestTimeout = 5_000;
const checkingInterval = 1_000;

/** A connection on which nothing has moved for this long is closed, in milliseconds. */
const idleTimeout = 10_000;

/** More than monitoring needs. A new one closes the oldest, so that connections that stay open keep no probe out. */
const maxConnections = 100;

/**
 * The HTTP server for monitoring: `/metrics` for Prometheus, `/livez` and `/readyz` for probes. It
 * shows nothing but numbers. Still, only the monitoring systems should reach it.
 *
 * What somebody who reaches it can cost is bounded: there are few connections, with one request each.
 */
export class MetricsServer {
  private constructor(
    private readonly http: Server,
    /** The port it listens on. */
    readonly port: number,
  ) {}

  /**
   * Starts to listen.
   *
   * @param address `host:port`; port 0 takes a free one.
   * @param option where the address was given, for the error.
   * @param ready what `/readyz` tells.
   * @throws Error if the address can't be listened on.
   */
  static async start(
    { address, option }: { readonly address: string; readonly option: string },
    metrics: ExposedMetrics,
    ready: () => boolean,
  ): Promise<MetricsServer> {
    const http = createServer(
      {
        requestTimeout,
        headersTimeout: requestTimeout,
        connectionsCheckingInterval: checkingInterval,
      },
      ({ method, url = '' }, response) => {
        // A client could send thousands of requests at once, and each answer would take memory until it is read.
        response.setHeader('connection', 'close');
        const [path] = url.split('?');
        if (method !== 'GET' && method !== 'HEAD') end(response, 405, 'only GET');
        else if (path === '/metrics') void expose(response, metrics);
        else if (path === '/livez') end(response, 200, 'alive');
        else if (path === '/readyz') tellReady(response, ready());
        else end(response, 404, 'there are /metrics, /livez and /readyz');
      },
    );
    http.setTimeout(idleTimeout);
    limitConnections(http);
    const { host, port } = splitAddress(address);
    http.listen(port, host);
    try {
      await once(http, 'listening');
    } catch (error) {
      const why = (error as Error).message;
      throw new Error(`can not listen on ${option} ${address}: ${why}`, { cause: error });
    }
    return new MetricsServer(http, (http.address() as AddressInfo).port);
  }

  close(): void {
    this.http.close();
    this.http.closeAllConnections();
  }
}

/** Closes the oldest connection when there are too many. */
function limitConnections(http: Server): void {
  const sockets = new Set<Socket>();
  http.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    const [oldest] = sockets;
    if (sockets.size > maxConnections) oldest?.destroy();
  });
}

async function expose(response: ServerResponse, metrics: ExposedMetrics): Promise<void> {
  const { contentType, text } = await metrics.expose();
  response.setHeader('content-type', contentType);
  response.end(text);
}

function tellReady(response: ServerResponse, ready: boolean): void {
  if (ready) end(response, 200, 'ready');
  else end(response, 503, 'not ready');
}

function end(response: ServerResponse, code: number, text: string): void {
  response.writeHead(code, { 'content-type': 'text/plain' }).end(`${text}\n`);
}

function splitAddress(address: string): { readonly host: string; readonly port: number } {
  const colon = address.lastIndexOf(':');
  return {
    host: address.slice(0, colon).replace(/^\[|\]$/g, ''),
    port: Number(address.slice(colon + 1)),
  };
}
