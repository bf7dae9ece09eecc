#!/usr/bin/env node
import { statSync } from 'node:fs';
import { runCommand } from './cli/program';

/** In development, what is not set in the environment may stand in a file. */
if (process.env['NODE_ENV'] !== 'production' && isFile('.env')) process.loadEnvFile('.env');

void runCommand(process.argv.slice(2)).then((exitCode) => {
  process.exitCode = exitCode;
});

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}
