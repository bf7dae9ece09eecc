import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { Webhook } from 'standardwebhooks';
import type { Identity } from './certificates';
import { Signal } from './signal';

/** The body of a webhook, as far as the tests look at it. */
export interface Message {
  readonly type: string;
  readonly timestamp: string;
  readonly data: Readonly<Record<string, unknown>> & {
    readonly event_id: string;
    readonly sequence: number;
  };
}

/** A request that the receiver has got, and answered. */
export interface Received {
  readonly headers: IncomingHttpHeaders;
  readonly message: Message;
  readonly status: number;
}

/** How a request is answered: with a status and, for some, headers. */
export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** A real receiver of webhooks: it verifies each request with the library of Standard Webhooks. */
export class WebhookReceiver {
  /** What has come, in order: also what was not taken. */
  readonly received: Received[] = [];
  /** Decides about a request that is signed well; it may keep it waiting. */
  answer: (message: Message) => Answer | Promise<Answer> = () => ({ status: 204 });
  private readonly receiving = new Signal();

  private constructor(
    private readonly server: Server,
    private readonly scheme: 'http' | 'https',
    /** The secret that it verifies with. */
    public secret: string,
  ) {}

  /**
   * @param port the one of a receiver that was closed; 0: any.
   * @param identity for TLS; without: plain text.
   */
  static async open(secret: string, port = 0, identity?: Identity): Promise<WebhookReceiver> {
    const server = identity
      ? createTlsServer({
          cert: readFileSync(identity.certificate),
          key: readFileSync(identity.privateKey),
        })
      : createServer();
    const receiver = new WebhookReceiver(server, identity ? 'https' : 'http', secret);
    server.on('request', (request, response) => {
      void text(request).then(async (body) => {
        const { headers } = request;
        const { status, ...answer } = await receiver.judge(headers, body);
        receiver.received.push({ headers, message: JSON.parse(body) as Message, status });
        response.writeHead(status, answer.headers).end(answer.body);
        receiver.receiving.fire();
      });
    });
    await once(server.listen(port, '127.0.0.1'), 'listening');
    return receiver;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  get url(): string {
    return `${this.scheme}://127.0.0.1:${this.port}/events`;
  }

  /** The sequences of the events that were taken, in the order in which they came. */
  get taken(): number[] {
    return this.received
      .filter(({ status }) => status < 300)
      .map(({ message }) => message.data.sequence);
  }

  /** Waits until a condition holds, looking at it whenever a request was answered. */
  until(condition: () => boolean): Promise<void> {
    return this.receiving.until(condition);
  }

  /** Closes it, also the connections that are open. It may be closed already. */
  async close(): Promise<void> {
    if (!this.server.listening) return;
    this.server.close();
    this.server.closeAllConnections();
    await once(this.server, 'close');
  }

  private judge(headers: IncomingHttpHeaders, body: string): Answer | Promise<Answer> {
    try {
      new Webhook(this.secret).verify(body, headers as Record<string, string>);
    } catch {
      return { status: 401 };
    }
    return this.answer(JSON.parse(body) as Message);
  }
}
