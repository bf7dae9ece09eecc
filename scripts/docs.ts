/**
 * Writes into the docs what the code and the contract say by themselves: errors, configuration, commands,
 * metrics.
 *
 *     node -r sucrase/register scripts/docs.ts [--check]
 *
 * With --check, nothing is written, and the exit code says whether the docs are right.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { CommandUnknownOpts } from '@commander-js/extra-typings';
import { createProgram } from '../src/cli/program';
import { variables } from '../src/config';
import type { Variable } from '../src/config/variables';
import { Metrics } from '../src/metrics/metrics';
import { RelayMetrics } from '../src/metrics/relay-metrics';
import { withPart } from './made-part';

const root = path.join(__dirname, '..');

/** What is made, by the name of its place: `<!-- errors -->` and `<!-- /errors -->` stand around it. */
const parts: Readonly<
  Record<string, { readonly page: string; readonly make: () => string | Promise<string> }>
> = {
  errors: { page: 'docs/errors.md', make: errors },
  configuration: { page: 'docs/configuration.md', make: configuration },
  commands: { page: 'docs/commands.md', make: commands },
  metrics: { page: 'docs/operations.md', make: metrics },
};

/** The reasons of errors, in the order of the proto file, which is that of the checks. */
function errors(): string {
  const proto = readFileSync(
    path.join(root, 'proto', 'sessionimport', 'v1', 'session_import.proto'),
    'utf8',
  );
  const reasons = [...proto.matchAll(/((?: {2}\/\/.*\n)+) {2}ERROR_REASON_(\w+) = [1-9]/g)];
  return tableOf(
    ['reason', 'code', 'what it means'],
    reasons.map(([, comment = '', reason = '']) => {
      const text = comment.replaceAll(/\s*\/\/ ?/g, ' ').trim();
      const [, code = '', meaning = ''] = /^([A-Z_]+)\. (.+)$/.exec(text) ?? [];
      return [`\`${reason}\``, `\`${code}\``, meaning];
    }),
  );
}

function configuration(): string {
  return tableOf(
    ['variable', 'default', ''],
    Object.entries<Variable<unknown>>(variables).map(([name, variable]) => [
      `\`${name}\`${variable.secret ? `<br/>\`${name}_FILE\`` : ''}`,
      variable.default === undefined
        ? variable.optional
          ? 'none'
          : 'required'
        : `\`${variable.default}\``,
      withCode(variable.description),
    ]),
  );
}

/** What is typed or called stands in backticks: names of variables, paths, addresses. */
function withCode(text: string): string {
  return text.replaceAll(
    /mysql:\/\/[^\s,]*[^\s,.]|\b[A-Z]+(?:_[A-Z]+)+\b|(?<=^|\s)\/[a-z]+\b|x-[a-z-]+/g,
    '`$&`',
  );
}

function commands(): string {
  return tableOf(
    ['command', ''],
    leavesOf(createProgram()).map(({ name, command }) => [
      `\`${[name, ...argumentsOf(command)].join(' ')}\``,
      command.description(),
    ]),
  );
}

/** The commands that do something, each with the names of those it belongs to in front. */
function leavesOf(command: CommandUnknownOpts, before: readonly string[] = []): Leaf[] {
  return command.commands.flatMap((child) => {
    const names = [...before, child.name()];
    return child.commands.length > 0
      ? leavesOf(child, names)
      : [{ name: names.join(' '), command: child }];
  });
}

interface Leaf {
  readonly name: string;
  readonly command: CommandUnknownOpts;
}

/** What a command is called with; in brackets what may be left out. */
function argumentsOf(command: CommandUnknownOpts): string[] {
  return [
    ...command.registeredArguments.map((argument) => `<${argument.name()}>`),
    ...command.options
      .filter(({ long }) => long !== '--json')
      .map(({ flags, mandatory, argChoices }) => {
        const usage = argChoices ? flags.replace(/<.+>/, argChoices.join('\\|')) : flags;
        return mandatory && argChoices?.length !== 1 ? usage : `[${usage}]`;
      }),
  ];
}

async function metrics(): Promise<string> {
  const all = new Metrics('', () => false);
  all.watch({
    pools: [],
    lines: () => ({}),
    queue: () => [],
    queueLimit: 0,
    keySet: () => ({ keys: 0, ageSeconds: 0 }),
    certificateExpiry: () => new Date(),
    backlog: () => undefined,
    eventStreams: () => 0,
  });
  const described = [...(await all.described()), ...(await new RelayMetrics().described())];
  return tableOf(
    ['metric', 'type', 'labels', 'meaning'],
    described.map(({ name, type, labels, help }) => [
      `\`${name}\``,
      type,
      labels.map((label) => `\`${label}\``).join(', ') || '-',
      withCode(help),
    ]),
  );
}

function tableOf(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

async function main(): Promise<void> {
  const check = process.argv.includes('--check');
  for (const [name, { page, make }] of Object.entries(parts)) {
    const file = path.join(root, page);
    const text = readFileSync(file, 'utf8');
    const next = withPart(text, name, await make());
    if (!check) writeFileSync(file, next);
    else if (next !== text) {
      process.stderr.write(`The ${name} in ${page} are not those of the code: make docs\n`);
      process.exitCode = 1;
    }
  }
}

void main();
