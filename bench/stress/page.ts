/**
 * Writes the figures in bench/results/ into docs/security.md: those of `make stress-full`, beside those
 * of a build before it, if both are there.
 *
 *     node -r sucrase/register bench/stress/page.ts
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { withPart } from '../../scripts/made-part';
import { callKinds } from './calls';
import type { Result, StressResults } from './report';

const page = path.join(__dirname, '..', '..', 'docs', 'security.md');

const before = resultsOf('stress-before');
const now = resultsOf('stress-full');

function resultsOf(name: string): StressResults | undefined {
  const file = path.join(__dirname, '..', 'results', `${name}.json`);
  if (!existsSync(file)) return undefined;
  return JSON.parse(readFileSync(file, 'utf8')) as StressResults;
}

/** The cells of a scenario's row. */
function figuresOf({ latency, lost, peakMemory, unready, pace, shortcomings }: Result): string[] {
  return [
    ...callKinds.map((kind) => (latency ? rounded(latency[kind].p99) : 'no end')),
    rounded(lost),
    rounded(peakMemory),
    rounded(unready),
    rounded(pace.work, 1),
    shortcomings.length === 0 ? 'yes' : 'no',
  ];
}

/** JSON has null for what is not known. */
function rounded(figure: number | null, digits = 0): string {
  if (figure === null) return '–';
  const places = { minimumFractionDigits: digits, maximumFractionDigits: digits };
  return figure.toLocaleString('en', places);
}

function tableOf(shown: StressResults): string[] {
  const head = [...callKinds, 'lost', 'MiB', 'not ready', 'machine', 'holds'];
  return [
    `| what others do | ${head.join(' | ')} |`,
    `| --- |${' ---: |'.repeat(head.length)}`,
    ...shown.scenarios.map((result) => {
      const earlier = before?.scenarios.find(({ name }) => name === result.name);
      const was = earlier && shown !== before ? figuresOf(earlier) : undefined;
      const cells = figuresOf(result).map((figure, index) =>
        was ? `${was[index] ?? ''} → **${figure}**` : figure,
      );
      return `| ${[result.title, ...cells].join(' | ')} |`;
    }),
  ];
}

function originOf(what: string, { environment, seconds }: StressResults): string {
  const { takenAt, machine, node } = environment;
  return `${what}: ${takenAt.slice(0, 10)}, ${machine}, Node.js ${node}, ${seconds} s for each row.`;
}

const shown = now ?? before;
if (!shown) throw new Error('there are no figures');
const lines = [
  ...tableOf(shown),
  '',
  ...[before && originOf('Before', before), now && originOf('Now', now)].filter(Boolean),
];
writeFileSync(page, withPart(readFileSync(page, 'utf8'), 'stress', lines.join('\n')));
