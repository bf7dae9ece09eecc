import type { Metadata } from '@grpc/grpc-js';
import {
  context,
  isSpanContextValid,
  propagation,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  type Attributes,
  type Context,
  type Span,
  type SpanOptions,
} from '@opentelemetry/api';
import { errorCode, ServiceError } from '../model/problems';

/** What the service's spans are grouped under. */
const tracer = trace.getTracer('session-import');

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
export function runInSpan<T>(span: Span, work: () => T): T {
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
    return await runInSpan(span, work);
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

/** What kind of error it is: a reason of the error table, a code, or a class. */
export function errorType(error: unknown): string {
  if (!(error instanceof Error)) return typeof error;
  if (error instanceof ServiceError) return error.problem.reason;
  return errorCode(error) ?? error.name;
}

/** A call that waits for its group, as far as traces go. */
export interface WaitSpan {
  /** Where the call stands in its trace. */
  readonly context: Context;
  /** Since when it waits, by `performance.now()`. */
  readonly since: number;
}

/** Remembers the trace context and the time of a call that begins to wait. */
export function beginWaiting(): WaitSpan {
  return { context: context.active(), since: performance.now() };
}

/**
 * Runs a group of calls that have waited. A span has one parent, but a group has many callers. So
 * the group's span is part of the trace of one call. Links connect it with all calls, in both
 * directions.
 */
export async function inGroupSpan<T>(
  attributes: Attributes,
  calls: readonly WaitSpan[],
  work: () => Promise<T>,
): Promise<T> {
  for (const { context: parent, since } of calls) {
    tracer.startSpan('wait for a group', { startTime: since }, parent).end();
  }
  const spans = calls
    .map(({ context: parent }) => trace.getSpan(parent))
    .filter((span) => span?.isRecording()) as Span[];
  const [first] = spans;
  // The active context belongs to the call that woke the lane: this group is no part of its trace.
  if (!first) return context.with(ROOT_CONTEXT, work);

  const links = spans.map((span) => ({ context: span.spanContext() }));
  const parent = trace.setSpan(ROOT_CONTEXT, first);
  const group = tracer.startSpan('import a group', { attributes, links }, parent);
  for (const span of spans) span.addLink({ context: group.spanContext() });
  try {
    return await runInSpan(group, work);
  } finally {
    group.end();
  }
}
