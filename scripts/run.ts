import { once } from 'node:events';
import { grpcurlLine, preparePlayground, startService } from './playground';

/** Runs the service in the foreground on demo data, and says how to call it. */
async function main(): Promise<void> {
  const { environment, apiKey, offers, sourceName, importingName } = await preparePlayground();
  const service = await startService(environment, (line) => process.stdout.write(`${line}\n`));
  // A terminal sends Ctrl-C to the service as well, which does not mind being told twice.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => service.process.kill('SIGTERM'));
  }
  process.stdout.write(
    [
      '',
      `API key of ${importingName}: ${apiKey}`,
      '',
      ...offers.flatMap((offer) => [
        `Import the ${offer.kind} session ${offer.sessionId} of ${sourceName} (the token is good for an hour):`,
        grpcurlLine(service.address, apiKey, offer),
        '',
      ]),
      'Ctrl-C stops the service, and its MySQL with it.',
      '',
    ].join('\n'),
  );
  const [code] = (await once(service.process, 'exit')) as [number | null];
  process.exitCode = code ?? 1;
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : 'could not start'}\n`);
  process.exit(1);
});
