import { init, type EChartsOption } from 'echarts';
import { rate, type Measurement } from './bench';
import type { Results } from './report';

const width = 900;
const height = 780;

/** Draws the results: rates above, latencies below. */
export function drawChart({ measurements, environment, openLoop }: Results): string {
  const chart = init(null, null, { renderer: 'svg', ssr: true, width, height });
  chart.setOption(optionsOf(measurements, environment.machine, openLoop.rowsPerImport));
  const svg = chart.renderToSVGString();
  chart.dispose();
  return svg;
}

const colours: Readonly<Record<Measurement['contestant'], string>> = {
  orm: '#b07aa1',
  procedure: '#f28e2b',
  bulk: '#9c9c9c',
  service: '#4e79a7',
};

function optionsOf(
  measurements: Readonly<Record<string, Measurement>>,
  machine: string,
  rows: number,
): EChartsOption {
  const names = Object.keys(measurements).reverse();
  // The bulk copy is one call for all imports: it has a rate, and no latency to speak of.
  const named = names.filter((name) => measurements[name]?.contestant !== 'bulk');
  const bars = (of: readonly string[], value: (measurement: Measurement) => number) =>
    of.flatMap((name) => {
      const measurement = measurements[name];
      if (!measurement) return [];
      const itemStyle = { color: colours[measurement.contestant] };
      return [{ value: Number(value(measurement).toPrecision(3)), itemStyle }];
    });
  const label = { show: true, position: 'right' as const };
  return {
    animation: false,
    backgroundColor: '#ffffff',
    title: [
      {
        text: `Imports a second (a user session of ${rows} rows)`,
        subtext: machine,
        left: 10,
        top: 5,
      },
      {
        text: 'Milliseconds from call to answer',
        subtext: 'median, and p99 (lighter)',
        left: 10,
        top: 410,
      },
    ],
    grid: [
      { left: 250, right: 80, top: 65, height: 310 },
      { left: 250, right: 80, top: 470, height: 290 },
    ],
    xAxis: [
      { type: 'value', gridIndex: 0 },
      { type: 'log', gridIndex: 1, min: 1 },
    ],
    yAxis: [
      { type: 'category', gridIndex: 0, data: names },
      { type: 'category', gridIndex: 1, data: named },
    ],
    series: [
      { type: 'bar', xAxisIndex: 0, yAxisIndex: 0, data: bars(names, rate), label },
      {
        type: 'bar',
        xAxisIndex: 1,
        yAxisIndex: 1,
        data: bars(named, ({ latency }) => latency.p50),
        label,
      },
      {
        type: 'bar',
        xAxisIndex: 1,
        yAxisIndex: 1,
        itemStyle: { opacity: 0.45 },
        data: bars(named, ({ latency }) => latency.p99),
        label,
      },
    ],
  };
}
