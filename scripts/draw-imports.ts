/**
 * Draws which folders of src/ import which, into docs/architecture.md:
 *
 *     depcruise --output-type json src | \
 *       node -r sucrase/register scripts/draw-imports.ts [--check]
 *
 * With --check, nothing is written, and the exit code says whether the picture is right.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { json } from 'node:stream/consumers';
import { withPart } from './made-part';

/** What dependency-cruiser tells, as far as it is drawn. */
interface Cruise {
  readonly modules: readonly {
    readonly source: string;
    readonly dependencies: readonly { readonly resolved: string }[];
  }[];
}

type Arrows = ReadonlyMap<string, ReadonlySet<string>>;

const page = path.join(__dirname, '..', 'docs', 'architecture.md');

/** What is no folder of the program itself: types of others, and what generators made. */
const leftOut = /^src\/(types|gen)\b/;

function arrowsOf({ modules }: Cruise): Arrows {
  const arrows = new Map<string, Set<string>>();
  for (const { source, dependencies } of modules) {
    const from = drawn(source);
    if (from === undefined) continue;
    const targets = arrows.get(from) ?? new Set();
    for (const { resolved } of dependencies) {
      const to = drawn(resolved);
      if (to !== undefined && to !== from) targets.add(to);
    }
    arrows.set(from, targets);
  }
  return arrows;
}

/** The folder of src/ that a module is in, or the file that it is there; undefined: it is not drawn. */
function drawn(module: string): string | undefined {
  return leftOut.test(module) ? undefined : /^src\/([^/]+)/.exec(module)?.[1];
}

/** The arrows that no way over others replaces: so many fewer that the direction can be seen. */
function reduced(arrows: Arrows): [string, string][] {
  const reaches = (from: string, to: string): boolean =>
    from === to || [...(arrows.get(from) ?? [])].some((next) => reaches(next, to));
  return [...arrows].flatMap(([from, targets]) =>
    [...targets]
      .filter((to) => ![...targets].some((other) => other !== to && reaches(other, to)))
      .map((to): [string, string] => [from, to]),
  );
}

function draw(arrows: Arrows): string {
  const lines = reduced(arrows)
    .map(([from, to]) => `  ${from} --> ${to}`)
    .sort();
  return ['```mermaid', 'flowchart TD', ...lines, '```'].join('\n');
}

async function main(check: boolean): Promise<void> {
  const picture = draw(arrowsOf((await json(process.stdin)) as Cruise));
  const text = readFileSync(page, 'utf8');
  const next = withPart(text, 'imports', picture);
  if (!check) writeFileSync(page, next);
  else if (next !== text) {
    process.stderr.write(
      'The picture in docs/architecture.md is not that of the imports: make docs\n',
    );
    process.exitCode = 1;
  }
}

void main(process.argv.includes('--check'));
