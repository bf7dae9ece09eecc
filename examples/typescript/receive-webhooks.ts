/**
 * Receives the events that `session-import relay` posts, and prints each of them once.
 *
 *   SECRET=whsec_… receive-webhooks <port>
 *
 * In front of it, something has to speak TLS.
 */
import { createServer, type IncomingMessage } from 'node:http';
import { Webhook, WebhookVerificationError } from 'standardwebhooks';

/** More than any event has, in bytes. */
const mostBytes = 65_536;

const webhook = new Webhook(process.env['SECRET'] ?? '');

/**
 * The ids of the events that were dealt with. Your program keeps them in its database, and adds an id in the
 * transaction that deals with the event.
 */
const known = new Set<string>();

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > mostBytes) throw new WebhookVerificationError('the body is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

async function receive(request: IncomingMessage): Promise<void> {
  const body = await bodyOf(request);
  const headers = request.headers as Record<string, string>;
  // Throws if these bytes are not signed, or the signature is over five minutes old.
  const event = webhook.verify(body, headers);
  const id = headers['webhook-id'] ?? '';
  if (known.has(id)) return;
  // Deal with the event here. If that fails, throw: the relay comes again with the same event.
  console.log(JSON.stringify(event));
  known.add(id);
}

const server = createServer((request, response) => {
  receive(request).then(
    () => {
      response.writeHead(204).end();
    },
    (error: unknown) => {
      response.writeHead(error instanceof WebhookVerificationError ? 401 : 500).end();
    },
  );
});
server.requestTimeout = 10_000;
server.listen(Number(process.argv[2]), '127.0.0.1');
