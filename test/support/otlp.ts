import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { Signal } from './signal';

/** An attribute's value, as far as the service uses them. */
interface AnyValue {
  readonly stringValue?: string;
  readonly intValue?: number | string;
}

/** A span, as OTLP has it in JSON. */
interface OtlpSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly links?: readonly { readonly traceId: string; readonly spanId: string }[];
  readonly attributes?: readonly { readonly key: string; readonly value: AnyValue }[];
  readonly status?: { readonly code?: number };
}

interface ExportRequest {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: OtlpSpan['attributes'] };
    readonly scopeSpans: readonly { readonly spans: readonly OtlpSpan[] }[];
  }[];
}

/** A span that a collector has received. */
export interface ReceivedSpan extends Omit<OtlpSpan, 'attributes' | 'links'> {
  readonly attributes: Readonly<Record<string, string | number | undefined>>;
  readonly links: NonNullable<OtlpSpan['links']>;
  readonly service: string | number | undefined;
}

/** A collector of traces: OTLP over HTTP, in JSON (OpenTelemetry Protocol specification, 1.x). */
export class Collector {
  readonly spans: ReceivedSpan[] = [];
  /** Everything that was received, as text. */
  readonly bodies: string[] = [];
  private readonly receiving = new Signal();

  private constructor(private readonly http: Server) {}

  /** @param status what exports are answered with. */
  static async open(status = 200): Promise<Collector> {
    const http = createServer();
    const collector = new Collector(http);
    http.on('request', (request, response) => {
      void json(request).then((body) => {
        if (request.url === '/v1/traces') collector.take(body as ExportRequest);
        response.writeHead(status, { 'content-type': 'application/json' }).end('{}');
      });
    });
    http.listen(0, '127.0.0.1');
    await once(http, 'listening');
    return collector;
  }

  /** What makes a service send its traces here, by the standard variables. */
  get environment(): Record<string, string> {
    const { port } = this.http.address() as AddressInfo;
    return {
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
      OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
      OTEL_BSP_SCHEDULE_DELAY: '50',
    };
  }

  /** Waits until a condition holds, looking at it whenever spans come in. */
  received(condition: () => boolean): Promise<void> {
    return this.receiving.until(condition);
  }

  named(name: string): ReceivedSpan[] {
    return this.spans.filter((span) => span.name === name);
  }

  close(): void {
    this.http.close();
    this.http.closeAllConnections();
  }

  private take(request: ExportRequest): void {
    this.bodies.push(JSON.stringify(request));
    for (const { resource, scopeSpans } of request.resourceSpans) {
      const service = attributesOf(resource.attributes)['service.name'];
      for (const span of scopeSpans.flatMap(({ spans }) => spans)) {
        const attributes = attributesOf(span.attributes);
        this.spans.push({ ...span, attributes, links: span.links ?? [], service });
      }
    }
    this.receiving.fire();
  }
}

function attributesOf(
  attributes: OtlpSpan['attributes'] = [],
): Record<string, string | number | undefined> {
  return Object.fromEntries(
    attributes.map(({ key, value }) => [
      key,
      value.stringValue ?? (value.intValue === undefined ? undefined : Number(value.intValue)),
    ]),
  );
}
