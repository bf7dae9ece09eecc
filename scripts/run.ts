import { once } from 'node:events';
import { DemoClients, vendorDataOf } from './demo-clients';
import { grpcurlLine, preparePlayground, startService, type Playground } from './playground';

/** Runs the service in the foreground on demo data, and says how to call it. */
async function main(): Promise<void> {
  const playground = await preparePlayground();
  const service = await startService(playground.environment, (line) =>
    process.stdout.write(`${line}\n`),
  );
  // A terminal sends Ctrl-C to the service as well, which does not mind being told twice.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => service.process.kill('SIGTERM'));
  }
  process.stdout.write(await instructions(playground, service.address));
  const [code] = (await once(service.process, 'exit')) as [number | null];
  process.exitCode = code ?? 1;
}

async function instructions(playground: Playground, address: string): Promise<string> {
  const { source, importing, user, business } = playground;
  const clients = new DemoClients(address);
  const lines: string[] = [
    '',
    `API key of ${importing.name}: ${importing.apiKey}`,
    `API key of ${source.name}: ${source.apiKey}`,
    '',
  ];
  for (const session of [user, business]) {
    const { shareToken } = await clients.share(session, source, importing);
    lines.push(
      `Import the ${session.kind} session ${session.sessionId} of ${source.name} (the token is good for an hour):`,
      grpcurlLine(address, importing.apiKey, 'SessionImport/ImportSession', {
        share_token: shareToken,
        workflow_id: session.workflowId,
        vendor_data: vendorDataOf(session.kind),
        trust_review: true,
      }),
      '',
      'Share it again:',
      grpcurlLine(address, source.apiKey, 'SessionShare/ShareSession', {
        session_id: session.sessionId,
        for_application_id: importing.applicationId,
      }),
      '',
    );
  }
  clients.close();
  return [...lines, 'Ctrl-C stops the service, and its MySQL with it.', ''].join('\n');
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : 'could not start'}\n`);
  process.exit(1);
});
