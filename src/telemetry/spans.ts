import { setTimeout as sleep } from 'node:timers/promises';
import type { Metadata } from '@grpc/grpc-js';
import {
  context,
  diag,
  DiagLogLevel,
  isSpanContextValid,
  propagation,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  type Attributes,
  type Context,
  type DiagLogger,
  type Span,
  type SpanOptions,
} from '@opentelemetry/api';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { databaseErrorCode } from '../db/errors';
import { ServiceError } from '../model/problems';
import type { Logger } from './log';

/** What the service's spans are grouped under. */
const tracer = trace.getTracer('session-import');

/** The standard variables that ask for traces (OpenTelemetry, "Environment Variable Specification"). */
const endpoints = ['OTEL_EXPORTER_OTLP_ENDPOINT', 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'] as const;

/** How long spans get to reach their collector when the service stops, in milliseconds. */
const flushTime = 2_000;

/** How much of a complaint of the SDK is logged, in characters. */
const longestComplaint = 200;

/** A group's span has a link to each of its calls: as many as the largest group has. */
const mostLinks = 512;

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
  // What the SDK can't do, such as reach its collector, it tells nobody else.
  diag.setLogger(complaintsTo(log), { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true });
  // Loaded only when it is wanted: the SDK is larger than the service.
  const { NodeSDK, resources } = await import('@opentelemetry/sdk-node');
  const sdk = new NodeSDK({
    // What the variables say of the service, and nothing about the machine or the user it runs as.
    resource: resources.resourceFromAttributes({ 'service.name': 'session-import' }),
    resourceDetectors: [resources.envDetector],
    spanLimits: { linkCountLimit: mostLinks },
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
        sleep(flushTime, 'no answer from the collector', { ref: false }),
      ]);
      if (why !== undefined) log.warn({ why }, 'the last spans were not sent');
    },
  };
}

/** The SDK's complaints as log lines: what they say, without the objects that they are about. */
function complaintsTo(log: Logger): DiagLogger {
  const complain = (message: string): void => {
    log.warn({ why: message.slice(0, longestComplaint) }, 'trouble with traces');
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

/** Starts the span of a call that came over gRPC, in the trace that the caller has begun, if any. */
export function startCallSpan(service: string, method: string, metadata: Metadata): Span {
  const parent = propagation.extract(context.active(), metadata, {
    keys: (carrier) => Object.keys(carrier.getMap()),
    get: (carrier, key) => carrier.get(key).map(String),
  });
  const attributes = { 'rpc.system': 'grpc', 'rpc.service': service, 'rpc.method': method };
  const options = { kind: SpanKind.SERVER, attributes };
  return tracer.startSpan(`${service}/${method}`, options, parent);
}

/** The id of a span's trace, for log lines; undefined if it is of none. */
export function traceIdOf(span: Span): string | undefined {
  const spanContext = span.spanContext();
  return isSpanContextValid(spanContext) ? spanContext.traceId : undefined;
}

/** Runs something as part of a span. */
export function within<T>(span: Span, work: () => T): T {
  return context.with(trace.setSpan(context.active(), span), work);
}

/** Runs a step of a call in a span of its own, below the one that it is part of. */
export async function inSpan<T>(
  name: string,
  work: () => Promise<T>,
  options: SpanOptions = {},
): Promise<T> {
  const span = tracer.startSpan(name, options);
  try {
    return await within(span, work);
  } catch (error) {
    markFailed(span, errorType(error));
    throw error;
  } finally {
    span.end();
  }
}

/**
 * Runs a statement in a span of its own. The span holds the statement's text, which is a constant, and
 * never the values that are bound to it.
 */
export function inStatementSpan<T>(sql: string, run: () => Promise<T>): Promise<T> {
  // Statements that belong to no call, such as those of the health check, would be traces of their own.
  if (!trace.getSpan(context.active())?.isRecording()) return run();
  const attributes = { 'db.system.name': 'mysql', 'db.query.text': sql };
  const name = /\w+/.exec(sql)?.[0].toUpperCase() ?? 'SQL';
  return inSpan(name, run, { kind: SpanKind.CLIENT, attributes });
}

/** Marks a span as failed, by the kind of the error alone: messages may quote what was to be stored. */
export function markFailed(span: Span, type: string): void {
  span.setAttribute('error.type', type);
  span.setStatus({ code: SpanStatusCode.ERROR });
}

/** What kind of error it is: a reason of the error table, a code of the database, or a class. */
export function errorType(error: unknown): string {
  if (!(error instanceof Error)) return typeof error;
  if (error instanceof ServiceError) return error.problem.reason;
  return databaseErrorCode(error) ?? error.name;
}

/** A call that waits for its group, as far as traces go. */
export interface Waiting {
  /** Where the call stands in its trace. */
  readonly context: Context;
  /** Since when it waits, by `performance.now()`. */
  readonly since: number;
}

/** What is to be remembered of a call that begins to wait. */
export function beginWaiting(): Waiting {
  return { context: context.active(), since: performance.now() };
}

/**
 * Runs a group of calls that have waited. The group's span is part of the trace of one of them, and is
 * linked to all of them, as they are to it: a span has one parent, and a group has many callers.
 */
export async function inGroupSpan<T>(
  attributes: Attributes,
  calls: readonly Waiting[],
  work: () => Promise<T>,
): Promise<T> {
  for (const { context: parent, since } of calls) {
    tracer.startSpan('wait for a group', { startTime: since }, parent).end();
  }
  const spans = calls
    .map(({ context: parent }) => trace.getSpan(parent))
    .filter((span) => span?.isRecording()) as Span[];
  const [first] = spans;
  // Whoever has woken the lane up is somebody else, whose trace this is no part of.
  if (!first) return context.with(ROOT_CONTEXT, work);

  const links = spans.map((span) => ({ context: span.spanContext() }));
  const parent = trace.setSpan(ROOT_CONTEXT, first);
  const group = tracer.startSpan('import a group', { attributes, links }, parent);
  for (const span of spans) span.addLink({ context: group.spanContext() });
  try {
    return await within(group, work);
  } finally {
    group.end();
  }
}
