import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { DockerfileParser, type Instruction } from 'dockerfile-ast';
import { parseAllDocuments } from 'yaml';
import { removeFolder } from '../../scripts/mysql/cleanup';
import { readConfig, variables } from '../../src/config';

/** The repository. */
export const root = path.join(__dirname, '..', '..');

/** A file of the repository. */
export function textOf(file: string): string {
  return readFileSync(path.join(root, file), 'utf8');
}

/** The documents of a YAML file, with merge keys. Kubernetes goes by version 1.1. */
export function documentsOf(file: string, version: '1.1' | '1.2' = '1.2'): unknown[] {
  return [...parseAllDocuments(textOf(file), { version, merge: true })].map((document) => {
    expect([...document.errors, ...document.warnings], file).to.deep.equal([]);
    return document.toJS() as unknown;
  });
}

/** The steps of the Dockerfile's last stage. */
export function runtimeSteps(): readonly Instruction[] {
  const steps = DockerfileParser.parse(textOf('Dockerfile')).getInstructions();
  return steps.slice(steps.findLastIndex((step) => step.getKeyword() === 'FROM') + 1);
}

/** The variables that the image sets. */
export function imageEnvironment(): Record<string, string> {
  const step = runtimeSteps().find((candidate) => candidate.getKeyword() === 'ENV');
  const pairs = (step?.getArguments() ?? []).map((argument) => argument.getValue().split('='));
  return Object.fromEntries(pairs) as Record<string, string>;
}

/** The port of one of the image's addresses. */
export function imagePort(variable: 'GRPC_ADDRESS' | 'METRICS_ADDRESS'): number {
  return Number(imageEnvironment()[variable]?.split(':').at(-1));
}

/** Fails if there is a variable that neither the service nor what it is made of reads. */
export function expectKnown(environment: Readonly<Record<string, string>>): void {
  const known = Object.entries(variables).flatMap(([name, variable]) =>
    'secret' in variable ? [name, `${name}_FILE`] : [name],
  );
  for (const name of Object.keys(environment)) {
    if (!/^(NODE|OTEL)_/.test(name)) expect(name).to.be.oneOf(known);
  }
}

/**
 * Fails if the service would not start with an environment.
 *
 * @param contentOf What is in a file that the environment names.
 */
export function expectAccepted(
  environment: Readonly<Record<string, string>>,
  contentOf: (file: string) => string,
): void {
  const folder = mkdtempSync(path.join(tmpdir(), 'session-import-deploy-'));
  try {
    const here = Object.entries(environment).map(([name, value]) => {
      if (!value.startsWith('/')) return [name, value];
      const file = path.join(folder, name);
      writeFileSync(file, contentOf(value));
      return [name, file];
    });
    readConfig(Object.fromEntries(here) as Record<string, string>);
  } finally {
    removeFolder(folder);
  }
}
