import { execFile, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { jsonOf } from '../../src/model/json';
import { must } from '../../src/model/must';

const run = promisify(execFile);
const buf = path.join(__dirname, '..', '..', 'node_modules', '.bin', 'buf');

/**
 * What the examples need of grpcurl, by `buf curl`: both find out by reflection what a message looks
 * like, and write it by protobuf's rules for JSON.
 */
const grpcurl = `#!/usr/bin/env bash
set -euo pipefail
[ "$1" = -plaintext ] && [ "$2" = -H ] && [ "$4" = -d ] && [ "$5" = @ ] && [ $# = 7 ]
exec "${buf}" curl --protocol grpc --http2-prior-knowledge -H "$3" -d @- "http://$6/$7"
`;

/** A shell with a grpcurl: the machine's own, or what stands in for it. */
export interface Shell {
  /** Runs a script, and returns what it prints: of a stream, which has no end, the first message. */
  run(script: string, variables: Readonly<Record<string, string>>): Promise<string>;
  remove(): Promise<void>;
}

/** Makes a shell that has a grpcurl. */
export async function shellWithGrpcurl(): Promise<Shell> {
  const folder = await mkdtemp(path.join(tmpdir(), 'session-import-shell-'));
  await writeFile(path.join(folder, 'grpcurl'), grpcurl, { mode: 0o755 });
  const PATH = `${process.env['PATH'] ?? ''}:${folder}`;
  return {
    async run(script, variables) {
      const env = { ...process.env, PATH, ...variables };
      if (script.includes('/Watch')) return firstMessage(script, env);
      const { stdout } = await run('bash', ['-euc', script], { env });
      return stdout;
    },
    remove: () => rm(folder, { recursive: true }),
  };
}

/** Runs a script until it has printed a whole message. */
async function firstMessage(script: string, env: NodeJS.ProcessEnv): Promise<string> {
  // A group of its own, so that what the shell has started is stopped with it.
  const shell = spawn('bash', ['-euc', script], { env, detached: true });
  let text = '';
  try {
    for await (const chunk of shell.stdout.setEncoding('utf8') as AsyncIterable<string>) {
      text += chunk;
      const lines = text.split('\n');
      for (let count = 1; count <= lines.length; count++) {
        const message = lines.slice(0, count).join('\n');
        if (jsonOf(message) !== undefined) return message;
      }
    }
  } finally {
    process.kill(-must(shell.pid, 'the id of a process'), 'SIGKILL');
  }
  throw new Error(`there is no message: ${text}`);
}
