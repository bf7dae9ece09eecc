/**
 * Shares a session, reads it, or asks where it came from.
 *
 *   API_KEY=… sessions share [options] <address> <session id> <application id>
 *   API_KEY=… sessions read  [options] <address> <session id>
 *   API_KEY=… sessions trace [options] <address> <session id>
 *
 * Options: --plaintext for no TLS; --cacert <file> for CAs other than the well-known ones.
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import {
  errorDetails,
  serviceConfig,
  SessionReadClient,
  SessionShareClient,
  SessionTraceClient,
  type GetProvenanceResponse,
  type GetSessionResponse,
  type ShareSessionResponse,
} from 'session-import-client';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { plaintext: { type: 'boolean', default: false }, cacert: { type: 'string' } },
});
const [action = '', address = '', sessionId = '', forApplicationId = ''] = positionals;

const channel = [
  // With dns:/// the client connects to all processes of the service; the service config spreads calls
  // over them (round robin).
  `dns:///${address}`,
  options.plaintext
    ? credentials.createInsecure()
    : credentials.createSsl(options.cacert ? readFileSync(options.cacert) : null),
  { 'grpc.service_config': serviceConfig },
] as const;

const metadata = new Metadata();
metadata.set('x-api-key', process.env['API_KEY'] ?? '');

/** Calls, and waits for the answer. The deadline is for all tries together. */
function answered<Response>(
  call: (
    options: { readonly deadline: number },
    done: (error: ServiceError | null, response: Response) => void,
  ) => unknown,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    call({ deadline: Date.now() + 45_000 }, (error, response) => {
      if (error) reject(error);
      else resolve(response);
    });
  });
}

async function share(): Promise<object> {
  const client = new SessionShareClient(...channel);
  const request = { sessionId, forApplicationId, ttl: { seconds: 900 } };
  return answered<ShareSessionResponse>((limits, done) =>
    client.shareSession(request, metadata, limits, done),
  ).finally(() => {
    client.close();
  });
}

async function read(): Promise<object> {
  const client = new SessionReadClient(...channel);
  const request = { sessionId, relationPageSize: 10 };
  const answer = await answered<GetSessionResponse>((limits, done) =>
    client.getSession(request, metadata, limits, done),
  ).finally(() => {
    client.close();
  });
  return { session: answer.session?.session, logs: logsOf(answer), more: answer.more };
}

/** A oneof is an object that says which of its fields is set; none: undefined. */
function logsOf({ relations }: GetSessionResponse): number {
  switch (relations?.$case) {
    case 'user':
      return relations.value.logs.length;
    case 'business':
      return relations.value.logs.length;
    case undefined:
      return 0;
  }
}

async function trace(): Promise<object> {
  const client = new SessionTraceClient(...channel);
  return answered<GetProvenanceResponse>((limits, done) =>
    client.getProvenance({ sessionId }, metadata, limits, done),
  ).finally(() => {
    client.close();
  });
}

const actions: Readonly<Record<string, () => Promise<object>>> = { share, read, trace };

async function main(): Promise<object> {
  const act = actions[action];
  if (!act) throw new Error('say what to do: share, read or trace');
  return act();
}

main()
  .then((answer) => {
    console.log(JSON.stringify(answer, null, 2));
  })
  .catch((error: unknown) => {
    const { reason, metadata: facts } = errorDetails(error) ?? {};
    const message = error instanceof Error ? error.message : 'it has failed';
    console.log(JSON.stringify({ message, reason, metadata: facts }, null, 2));
    process.exitCode = 1;
  });
