import { collectDefaultMetrics, Registry } from 'prom-client';

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
  /** Where a subclass registers its metrics. */
  protected readonly registers = [this.registry];

  constructor() {
    collectDefaultMetrics({ register: this.registry });
  }

  /** What is sent when Prometheus asks, and its content type. */
  async expose(): Promise<{ readonly contentType: string; readonly text: string }> {
    return { contentType: this.registry.contentType, text: await this.registry.metrics() };
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
