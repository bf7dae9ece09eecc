import { setTimeout as sleep } from 'node:timers/promises';
import { collectDefaultMetrics, Registry } from 'prom-client';

/** The least time from one making of the metrics to the next, in milliseconds. */
const leastPause = 50;

/** A metric as the docs explain it. */
export interface DescribedMetric {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly labels: readonly string[];
}

/** Metrics that Prometheus can ask for: those of a subclass, and those of Node.js. */
export abstract class ExposedMetrics {
  private readonly registry = new Registry();
  /** What the next answer will be; undefined: nobody waits for it. */
  private next: Promise<string> | undefined;
  private madeAt = Number.NEGATIVE_INFINITY;
  /** Where a subclass registers its metrics. */
  protected readonly registers = [this.registry];

  constructor() {
    collectDefaultMetrics({ register: this.registry });
  }

  /**
   * What is sent when Prometheus asks, and its content type. It is made after the request, but not more than twenty
   * times a second, however many ask: it takes some milliseconds.
   */
  async expose(): Promise<{ readonly contentType: string; readonly text: string }> {
    this.next ??= this.makeNext();
    return { contentType: this.registry.contentType, text: await this.next };
  }

  private async makeNext(): Promise<string> {
    await sleep(Math.max(0, this.madeAt + leastPause - performance.now()));
    this.next = undefined;
    this.madeAt = performance.now();
    return this.registry.metrics();
  }

  /** The metrics of the subclass, for the docs. */
  async described(): Promise<readonly DescribedMetric[]> {
    const all = await this.registry.getMetricsAsJSON();
    return all
      .filter(({ name }) => /^(grpc|session_import)_/.test(name))
      .map(({ name, help, type }) => {
        const { labelNames = [] } = this.registry.getSingleMetric(name) as {
          readonly labelNames?: readonly string[];
        };
        return { name, help, type: String(type), labels: labelNames };
      });
  }
}
