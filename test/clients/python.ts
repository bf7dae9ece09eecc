import { readdirSync } from 'node:fs';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { unpackFromDebian, type UnpackedPrograms } from '../../scripts/debian';
import { run, type Command } from '../../scripts/mysql/processes';

const root = path.join(__dirname, '..', '..');
const proto = path.join(root, 'proto');
const files = readdirSync(path.join(proto, 'sessionimport', 'v1'));
const contract = ['-I', proto, ...files.map((file) => `sessionimport/v1/${file}`)];

/**
 * Makes the stubs of the contract for Python, with a Python that is installed, or else with one out
 * of Debian's archive.
 *
 * @param folder Created, and filled with the stubs.
 * @returns The command which runs a Python program on these stubs; none where there is no Python
 *   for gRPC clients.
 */
export async function pythonWithStubs(folder: string): Promise<Command | undefined> {
  await mkdir(folder);
  const out = [`--python_out=${folder}`, `--grpc_python_out=${folder}`];
  const withStubs = (python: Command): Command => ['env', `PYTHONPATH=${folder}`, ...python];
  const check = ['-c', 'import google.rpc.status_pb2, sessionimport.v1.session_import_pb2_grpc'];

  for (const python of ['python3', '/usr/bin/python3']) {
    try {
      await run([python, '-m', 'grpc_tools.protoc', ...out, ...contract]);
      await run([...withStubs([python]), ...check]);
      return withStubs([python]);
    } catch {
      // It is not installed, it lacks a package, or one is too old.
    }
  }

  const debian = await pythonFromDebian().catch(() => undefined);
  if (!debian) return undefined;
  const plugin = `--plugin=protoc-gen-grpc_python=${await grpcPlugin(debian, folder)}`;
  const imports = ['-I', path.join(root, 'node_modules', 'google-proto-files')];
  await run([...debian.command('bin/protoc'), plugin, ...out, ...contract, ...imports]);
  return withStubs(debian.command('bin/python3'));
}

/** Debian's own grpc_tools is older than `optional` fields: protoc itself does what it does. */
function pythonFromDebian(): Promise<UnpackedPrograms> {
  return unpackFromDebian({
    title: 'Python',
    suite: 'trixie',
    packages: [
      ...['python3-grpcio', 'python3-googleapis-common-protos'],
      ...['protobuf-compiler', 'protobuf-compiler-grpc'],
    ],
    unneeded: ['var', 'usr/sbin'],
    megabytes: 27,
  });
}

/** protoc starts its plugins by itself, and knows nothing of the loader that this one needs. */
async function grpcPlugin(debian: UnpackedPrograms, folder: string): Promise<string> {
  const script = path.join(folder, 'grpc_python_plugin');
  const command = debian.command('bin/grpc_python_plugin').map((word) => `'${word}'`);
  await writeFile(script, `#!/bin/sh\nexec ${command.join(' ')} "$@"\n`);
  await chmod(script, 0o755);
  return script;
}
