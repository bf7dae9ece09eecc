import type { Registry } from 'prom-client';

/** A metric as the docs explain it. */
export interface DescribedMetric {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly labels: readonly string[];
}

/** The metrics of a registry, without those of Node.js. */
export async function describedMetrics(registry: Registry): Promise<readonly DescribedMetric[]> {
  const all = await registry.getMetricsAsJSON();
  return all
    .filter(({ name }) => /^(grpc|session_import)_/.test(name))
    .map(({ name, help, type }) => {
      const { labelNames = [] } = registry.getSingleMetric(name) as {
        readonly labelNames?: readonly string[];
      };
      return { name, help, type: String(type), labels: labelNames };
    });
}
