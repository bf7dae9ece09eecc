import { once } from 'node:events';
import { credentials, Metadata, status, type ServiceError } from '@grpc/grpc-js';
import Table from 'cli-table3';
import {
  errorDetails,
  SessionImportClient,
  SessionKind,
  SessionStatus,
  type ImportSessionResponse,
} from '../src/client';
import {
  grpcurlLine,
  preparePlayground,
  startService,
  vendorDataOf,
  type Offer,
} from './playground';

/**
 * The demo: one application shares a user and a business session, another imports them over gRPC,
 * and tries one of them again.
 */
async function main(): Promise<void> {
  const playground = await preparePlayground();
  const { environment, apiKey, offers, sourceName, importingName } = playground;
  const service = await startService(
    { ...environment, GRPC_ADDRESS: '127.0.0.1:0', METRICS_ADDRESS: 'off' },
    () => undefined,
  );
  const client = new SessionImportClient(service.address, credentials.createInsecure());

  for (const offer of offers) {
    title(`${importingName} imports a ${offer.kind} session that ${sourceName} has shared`);
    print(`As a line for a shell:\n${grpcurlLine(service.address, apiKey, offer)}\n`);
    const response = await importSession(client, apiKey, offer);
    print(`What the generated client gets:\n${describeSession(response)}`);
    print(rowsTable(response));
  }

  const [again] = offers;
  if (!again) throw new Error('nothing was offered');
  title('The same call again is refused');
  const refused = await importSession(client, apiKey, again).then(
    () => undefined,
    (error: unknown) => error as ServiceError,
  );
  if (!refused) throw new Error('a session was imported twice');
  print(describeError(refused));

  client.close();
  service.process.kill('SIGTERM');
  await once(service.process, 'exit');
}

function importSession(
  client: SessionImportClient,
  apiKey: string,
  offer: Offer,
): Promise<ImportSessionResponse> {
  const metadata = new Metadata();
  metadata.set('x-api-key', apiKey);
  const request = {
    shareToken: offer.shareToken,
    workflowId: offer.workflowId,
    vendorData: vendorDataOf(offer),
    trustReview: true,
  };
  return new Promise((resolve, reject) => {
    client.importSession(request, metadata, (error, response) => {
      if (error) reject(error);
      else resolve(response);
    });
  });
}

function describeSession({ session }: ImportSessionResponse): string {
  if (!session) throw new Error('the answer has no session');
  return JSON.stringify(
    {
      ...session,
      sessionKind: SessionKind[session.sessionKind],
      status: SessionStatus[session.status],
    },
    null,
    2,
  );
}

function rowsTable({ clonedRelations }: ImportSessionResponse): string {
  const table = new Table({
    head: ['relation', 'rows copied'],
    colAligns: ['left', 'right'],
    style: { head: [], border: [], compact: true },
  });
  for (const { relation, rows } of clonedRelations) table.push([relation, rows]);
  table.push(['total', clonedRelations.reduce((sum, { rows }) => sum + rows, 0)]);
  return table.toString();
}

function describeError(error: ServiceError): string {
  const { reason, metadata } = errorDetails(error) ?? {};
  return `${status[error.code]}: ${error.details}\n${JSON.stringify({ reason, metadata }, null, 2)}`;
}

function title(text: string): void {
  print(`\n== ${text} ==\n`);
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : 'the demo has failed'}\n`);
  process.exit(1);
});
