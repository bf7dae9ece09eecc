import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { execFile } from 'node:child_process';
import { expect } from 'chai';

const run = promisify(execFile);
const root = path.join(__dirname, '..', '..');
const buf = path.join(root, 'node_modules', '.bin', 'buf');

describe('the check of the contract against the last release', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'session-import-contract-'));
    for (const name of ['buf.yaml', 'proto']) {
      await cp(path.join(root, name), path.join(folder, name), { recursive: true });
    }
  });
  afterEach(() => rm(folder, { recursive: true }));

  /** Changes one line of the contract, and returns what the check of `make lint` says to that. */
  async function complaints(line: string, changed: string): Promise<string> {
    const file = path.join(folder, 'proto', 'sessionimport', 'v1', 'session_import.proto');
    const contract = await readFile(file, 'utf8');
    expect(contract).to.include(line);
    await writeFile(file, contract.replace(line, changed));
    const command = ['breaking', '--against', 'proto/released.txtpb'];
    return run(buf, command, { cwd: folder }).then(
      () => '',
      (error: unknown) => (error as { stdout: string }).stdout,
    );
  }

  const workflowId = '  string workflow_id = 3;\n';

  it('takes a new field', async () => {
    const added = `${workflowId}  string something_new = 15;\n`;
    expect(await complaints(workflowId, added)).to.equal('');
  });

  it('refuses a field with another number', async () => {
    const renumbered = '  string workflow_id = 15;\n';
    expect(await complaints(workflowId, renumbered)).to.match(/field "3" .* was deleted/);
  });

  it('refuses a field of another type', async () => {
    const retyped = '  bytes workflow_id = 3;\n';
    expect(await complaints(workflowId, retyped)).to.match(/changed type from "string" to "bytes"/);
  });
});
