import { eventually } from './helpers';

/** A series of a scrape: its name, its labels, its value. */
export interface Series {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Reads the metrics of a service, as Prometheus does. */
export async function scrape(port: number | undefined): Promise<Series[]> {
  const response = await fetch(`http://127.0.0.1:${port ?? 0}/metrics`);
  const text = await response.text();
  return text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const [, name = '', labels = '', value = ''] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
      return {
        name,
        labels: Object.fromEntries(
          [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, key = '', text = '']) => [
            key,
            text,
          ]),
        ),
        value: Number(value),
      };
    });
}

/** The sum of the series that have a name and, at least, the given labels. */
export function sumOf(
  series: readonly Series[],
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number {
  return series
    .filter((each) => each.name === name)
    .filter((each) => Object.entries(labels).every(([key, value]) => each.labels[key] === value))
    .reduce((sum, { value }) => sum + value, 0);
}

/** Waits until the metrics of a service say something. */
export async function reading(
  port: number | undefined,
  name: string,
  labels: Readonly<Record<string, string>>,
  value: number,
): Promise<void> {
  await eventually(async () => sumOf(await scrape(port), name, labels) === value);
}
