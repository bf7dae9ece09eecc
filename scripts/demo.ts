import { once } from 'node:events';
import { status, type ServiceError } from '@grpc/grpc-js';
import Table from 'cli-table3';
import {
  errorDetails,
  SessionKind,
  SessionStatus,
  type ImportSessionResponse,
  type ListShareTokensResponse,
} from '../src/client';
import { DemoClients } from './demo-clients';
import { preparePlayground, startService, type DemoSession, type Playground } from './playground';

/**
 * The demo, played by two applications over gRPC: one shares a user and a business session, the other
 * imports them, tries one of them again, and comes too late for one whose token was revoked.
 */
async function main(): Promise<void> {
  const playground = await preparePlayground();
  const service = await startService(
    { ...playground.environment, GRPC_ADDRESS: '127.0.0.1:0', METRICS_ADDRESS: 'off' },
    () => undefined,
  );
  const clients = new DemoClients(service.address);

  await revokeToken(clients, playground);
  for (const session of [playground.user, playground.business]) {
    await shareAndImport(clients, playground, session);
  }

  clients.close();
  service.process.kill('SIGTERM');
  await once(service.process, 'exit');
}

/** Shares a session, imports it, and tries to import it again. */
async function shareAndImport(
  clients: DemoClients,
  { source, importing }: Playground,
  session: DemoSession,
): Promise<void> {
  title(`${source.name} shares a ${session.kind} session with ${importing.name}`);
  const { shareToken, details } = await clients.share(session, source, importing);
  print(`A token that is good until ${details?.expiresAt?.toISOString() ?? ''}:\n${shareToken}`);

  title(`${importing.name} imports it`);
  const response = await clients.import(shareToken, session, importing);
  print(`What the generated client gets:\n${describeSession(response)}`);
  print(rowsTable(response));

  title('The same call again is refused');
  print(await refusal(clients.import(shareToken, session, importing)));

  title(`What ${source.name} sees of its share tokens for the session`);
  print(tokensTable(await clients.listShares(session, source)));
}

/** Shares a session, revokes the token, and lets the other application try it. */
async function revokeToken(
  clients: DemoClients,
  { source, importing, user }: Playground,
): Promise<void> {
  title(`${source.name} shares a user session, and revokes the token`);
  const { shareToken, details } = await clients.share(user, source, importing);
  const { revoked } = await clients.revoke(details?.shareTokenId ?? '', source);
  print(`Tokens revoked: ${revoked}. ${importing.name} tries it anyway:`);
  print(await refusal(clients.import(shareToken, user, importing)));
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

function tokensTable({ shareTokens }: ListShareTokensResponse): string {
  const table = new Table({
    head: ['share token', 'made', 'redeemed', 'revoked'],
    style: { head: [], border: [], compact: true },
  });
  const time = (moment: Date | undefined): string => moment?.toISOString().slice(11, 23) ?? '-';
  for (const { shareTokenId, createdAt, redeemedAt, revokedAt } of shareTokens) {
    table.push([shareTokenId, time(createdAt), time(redeemedAt), time(revokedAt)]);
  }
  return table.toString();
}

/** Waits for a call to be refused, and tells why; a demo whose call succeeds has failed. */
async function refusal(call: Promise<unknown>): Promise<string> {
  const error = await call.then(
    () => undefined,
    (why: unknown) => why as ServiceError,
  );
  if (!error) throw new Error('a call succeeded that should have been refused');
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
