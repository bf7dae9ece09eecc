import { setTimeout as sleep } from 'node:timers/promises';
import { diag, DiagLogLevel, propagation, type DiagLogger } from '@opentelemetry/api';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import type { Logger } from './log';
import { errorType } from './spans';

/** The standard variables that ask for traces (OpenTelemetry, "Environment Variable Specification"). */
const endpoints = ['OTEL_EXPORTER_OTLP_ENDPOINT', 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'] as const;

/** How long spans get to reach their collector when the service stops, in milliseconds. */
const flushTimeout = 2_000;

/** How much of a complaint of the SDK is logged, in characters. */
const maxComplaintLength = 200;

/** A group's span has a link to each of its calls: as many as the largest group has. */
const maxLinks = 512;

/** Tracing that has been started. */
export interface Tracing {
  /** Sends what has not been sent yet, if the collector takes it. Never rejects. */
  stop(): Promise<void>;
}

/**
 * Starts to trace if the standard variables say so: an exporter (`OTEL_TRACES_EXPORTER`) or an
 * endpoint is named, and neither `OTEL_SDK_DISABLED=true` nor the exporter `none`. Once per process.
 *
 * Without traces, the context of callers is still read, so that log lines name their trace.
 */
export async function startTracing(
  environment: NodeJS.ProcessEnv,
  log: Logger,
): Promise<Tracing | undefined> {
  if (!wantsTraces(environment)) {
    propagation.setGlobalPropagator(new W3CTraceContextPropagator());
    return undefined;
  }
  // The SDK reports its errors only here, for example that it can't reach its collector.
  diag.setLogger(complaintsTo(log), { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true });
  // Loaded only when it is wanted: the SDK is larger than the service.
  const { NodeSDK, resources } = await import('@opentelemetry/sdk-node');
  const sdk = new NodeSDK({
    // What the variables say of the service, and nothing about the machine or the user it runs as.
    resource: resources.resourceFromAttributes({ 'service.name': 'session-import' }),
    resourceDetectors: [resources.envDetector],
    spanLimits: { linkCountLimit: maxLinks },
    // Spans are made by hand, of what matters here; and metrics are for Prometheus to read.
    instrumentations: [],
    metricReaders: [],
    logRecordProcessors: [],
  });
  sdk.start();
  log.info('sending traces');
  return {
    async stop() {
      // A collector that can't be reached, or refuses, does not keep the service from ending.
      const why = await Promise.race([
        sdk.shutdown().then(() => undefined, errorType),
        sleep(flushTimeout, 'no answer from the collector', { ref: false }),
      ]);
      if (why !== undefined) log.warn({ why }, 'the last spans were not sent');
    },
  };
}

/** The SDK's complaints as log lines: what they say, without the objects that they are about. */
function complaintsTo(log: Logger): DiagLogger {
  const complain = (message: string): void => {
    log.warn({ why: message.slice(0, maxComplaintLength) }, 'trouble with traces');
  };
  const ignore = (): void => undefined;
  return { error: complain, warn: complain, info: ignore, debug: ignore, verbose: ignore };
}

function wantsTraces(environment: NodeJS.ProcessEnv): boolean {
  if (environment['OTEL_SDK_DISABLED']?.toLowerCase() === 'true') return false;
  const exporter = environment['OTEL_TRACES_EXPORTER'] ?? '';
  if (exporter === 'none') return false;
  return exporter !== '' || endpoints.some((name) => (environment[name] ?? '') !== '');
}
