import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** What a script asks grpcurl for. */
export interface GrpcurlCall {
  /** The header that goes with the call. */
  readonly header: string;
  readonly address: string;
  /** For example `sessionimport.v1.SessionImport/ImportSession`. */
  readonly method: string;
  /** The request, in JSON. */
  readonly data: string;
}

/** Stands in for grpcurl, as far as the examples use it: prints what it is asked for. */
const grpcurl = `grpcurl() {
  [ "$1" = -plaintext ] && [ "$2" = -H ] && [ "$4" = -d ] && [ "$5" = @ ] && [ $# = 7 ] || exit 1
  printf '%s\\n' "$3" "$6" "$7"
  cat
}`;

/** Has a shell run a script that calls grpcurl once, and returns what grpcurl is asked for. */
export async function askedOfGrpcurl(
  script: string,
  variables: Readonly<Record<string, string>>,
): Promise<GrpcurlCall> {
  const { stdout } = await run('bash', ['-euc', `${grpcurl}\n${script}`], {
    env: { ...process.env, ...variables },
  });
  const [header = '', address = '', method = '', ...data] = stdout.split('\n');
  return { header, address, method, data: data.join('\n') };
}
