import { once } from 'node:events';
import { DemoClients, vendorDataOf } from './demo-clients';
import {
  grpcurlLine,
  preparePlayground,
  seed,
  startService,
  type DemoApplication,
  type DemoSession,
  type Playground,
} from './playground';

/**
 * Runs the service in the foreground on demo data, and says how to call it: on standard output. The
 * service's log goes to standard error.
 */
async function main(): Promise<void> {
  const playground = await preparePlayground();
  const service = await startService(playground.environment, (line) =>
    process.stderr.write(`${line}\n`),
  );
  // A terminal sends Ctrl-C to the service as well, which does not mind being told twice.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => service.process.kill('SIGTERM'));
  }
  process.stdout.write(await instructions(playground, service.address));
  const [code] = (await once(service.process, 'exit')) as [number | null];
  process.exitCode = code ?? 1;
}

/** What commands need to know to work on the same data. */
const settings = [
  'DATABASE_URL',
  'SHARE_TOKEN_JWKS',
  'SHARE_TOKEN_SIGNING_KEY',
  'SESSION_BASE_URL',
];

const exportLine = (name: string, value: string): string => `export ${name}='${value}'`;

/** The shell variables of the examples in docs/api.md. */
function exampleVariables(address: string, { source, importing, user, business }: Playground) {
  return {
    ADDRESS: address,
    SOURCE_API_KEY: source.apiKey,
    SOURCE_SESSION_ID: user.sessionId,
    SOURCE_BUSINESS_SESSION_ID: business.sessionId,
    API_KEY: importing.apiKey,
    APPLICATION_ID: importing.applicationId,
    WORKFLOW_ID: user.workflowId,
    BUSINESS_WORKFLOW_ID: business.workflowId,
  };
}

async function instructions(playground: Playground, address: string): Promise<string> {
  const { source, importing, user, business, environment } = playground;
  const clients = new DemoClients(address);
  const userShare = await clients.share(user, source, importing);
  const businessShare = await clients.share(business, source, importing);
  const { importing: third, copy } = await importElsewhere(clients, playground);
  clients.close();

  const lineOf = (what: string, who: DemoApplication, method: string, request: object): string =>
    `${who.name} ${what}:\n${grpcurlLine(address, who.apiKey, method, request)}\n`;
  const importLine = (session: DemoSession, shareToken: string): string =>
    lineOf(
      `imports a ${session.kind} session (the token is good for an hour)`,
      importing,
      'SessionImport/ImportSession',
      {
        share_token: shareToken,
        workflow_id: session.workflowId,
        vendor_data: vendorDataOf(session.kind),
        trust_review: true,
      },
    );
  const ofUser = { session_id: user.sessionId };
  return [
    '',
    `${source.name} is application ${source.applicationId}, with the API key ${source.apiKey}`,
    `${importing.name} is application ${importing.applicationId}, with the API key ${importing.apiKey}`,
    '',
    lineOf('lists what is shared with it', importing, 'SessionShare/ListReceivedShareTokens', {}),
    importLine(user, userShare.shareToken),
    importLine(business, businessShare.shareToken),
    lineOf('shares a session', source, 'SessionShare/ShareSession', {
      ...ofUser,
      for_application_id: importing.applicationId,
    }),
    lineOf('lists the share tokens of a session', source, 'SessionShare/ListShareTokens', ofUser),
    lineOf('takes a share token back', source, 'SessionShare/RevokeShareToken', {
      share_token_id: userShare.details?.shareTokenId ?? '',
    }),
    lineOf('reads a session', source, 'SessionRead/GetSession', ofUser),
    lineOf('reads more rows of a relation', source, 'SessionRead/ListSessionRows', {
      ...ofUser,
      relation: 'logs',
    }),
    lineOf('lists its workflows', importing, 'SessionImport/ListWorkflows', {}),
    lineOf('lists its sessions', importing, 'SessionRead/ListSessions', {}),
    lineOf('lists what it has imported', importing, 'SessionTrace/ListImports', {}),
    lineOf(
      '(another one of that name) asks where a copy came from',
      third,
      'SessionTrace/GetProvenance',
      {
        session_id: copy,
      },
    ),
    'For the commands (docs/commands.md), in another terminal:',
    ...settings.map((name) => exportLine(name, environment[name] ?? process.env[name] ?? '')),
    '',
    'For the examples of docs/api.md, in another terminal:',
    ...Object.entries(exampleVariables(address, playground)).map(([name, value]) =>
      exportLine(name, value),
    ),
    '',
    'Ctrl-C stops the service, and its MySQL with it.',
    '',
  ].join('\n');
}

/** Imports the user session into an application of its own: those that read this want to import it themselves. */
async function importElsewhere(
  clients: DemoClients,
  { source, user }: Playground,
): Promise<{ readonly importing: DemoApplication; readonly copy: string }> {
  const { importing, user: filed } = await seed();
  const { shareToken } = await clients.share(user, source, importing);
  const { session } = await clients.import(
    shareToken,
    { ...user, workflowId: filed.workflowId },
    importing,
  );
  return { importing, copy: session?.sessionId ?? '' };
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : 'could not start'}\n`);
  process.exit(1);
});
