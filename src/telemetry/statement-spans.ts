import { context, SpanKind, trace, type Span } from '@opentelemetry/api';
import type { Database } from '../db/connection';
import { errorType, markFailed } from './tracing';

/** A statement, as Knex announces it. */
interface Statement {
  readonly __knexQueryUid: string;
  readonly sql: string;
}

const tracer = trace.getTracer('session-import');

/**
 * Makes a span of every statement that a database is sent, BEGIN and COMMIT included. It holds the
 * statement's text, which is a constant, and never the values that are bound to it.
 */
export function traceStatements(db: Database): void {
  const running = new Map<string, Span>();
  const end = (id: string, error?: unknown): void => {
    const span = running.get(id);
    if (!span) return;
    running.delete(id);
    if (error !== undefined) markFailed(span, errorType(error));
    span.end();
  };
  db.on('query', ({ __knexQueryUid: id, sql }: Statement) => {
    // Statements that belong to no call, such as those of the health check, would be traces of their own.
    if (!trace.getSpan(context.active())?.isRecording()) return;
    const attributes = { 'db.system.name': 'mysql', 'db.query.text': sql };
    const name = /\w+/.exec(sql)?.[0].toUpperCase() ?? 'SQL';
    running.set(id, tracer.startSpan(name, { kind: SpanKind.CLIENT, attributes }));
  });
  db.on('query-response', (_: unknown, { __knexQueryUid: id }: Statement) => {
    end(id);
  });
  db.on('query-error', (error: unknown, { __knexQueryUid: id }: Statement) => {
    end(id, error);
  });
}
