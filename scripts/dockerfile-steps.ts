import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cp, mkdir, stat, symlink } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { Copy, DockerfileParser, type Instruction } from 'dockerfile-ast';

const run = promisify(execFile);

/** Where images of Node.js have their `node`. */
const nodeOfImages = 'usr/local/bin/node';

/** What a stage of a Dockerfile has come to: a folder of files, and what is said about them. */
export interface Stage {
  /** The folder that stands for `/`. Of the base image it has `node`, if that is an image of it. */
  readonly root: string;
  /** An absolute path, as the image sees it. */
  workdir: string;
  readonly env: Record<string, string>;
  entrypoint: readonly string[];
  cmd: readonly string[];
  healthcheck: readonly string[];
}

/**
 * Carries out the steps of a Dockerfile on this machine, without a container engine: every stage is
 * a folder, `COPY` copies between the folders, and `RUN` runs its command on this machine in the
 * stage's working directory. So it is this machine's node, npm and shell that build, and nothing of
 * a base image is there but a link to this machine's node, where the base is an image of Node.js.
 *
 * @param context The folder with the Dockerfile and the files that it copies, less what its
 *   .dockerignore leaves out.
 * @param folder An empty folder for the stages.
 * @returns The last stage.
 * @throws An `Error` where a step fails, or is one that can't be carried out like this.
 */
export async function carryOut(context: string, folder: string): Promise<Stage> {
  const dockerfile = DockerfileParser.parse(readFileSync(path.join(context, 'Dockerfile'), 'utf8'));
  const stages = new Map<string, Stage>();
  let stage: Stage | undefined;
  for (const step of dockerfile.getInstructions()) {
    if (step.getKeyword() === 'FROM') {
      const [image = '', , name = String(stages.size)] = wordsOf(step);
      stage = await startStage(image, path.join(folder, String(stages.size)));
      stages.set(name, stage);
    } else if (stage) {
      await takeStep(step, stage, stages, context);
    }
  }
  if (!stage) throw new Error('the Dockerfile has no stage');
  return stage;
}

/** The command that a container of the image would run, for a child process on this machine. */
export function commandOf(
  stage: Stage,
  args = stage.cmd,
): { argv: readonly string[]; cwd: string; env: Readonly<Record<string, string>> } {
  return {
    argv: [...stage.entrypoint, ...args],
    cwd: path.join(stage.root, stage.workdir),
    env: { ...stage.env, PATH: path.join(stage.root, path.dirname(nodeOfImages)) },
  };
}

async function startStage(image: string, root: string): Promise<Stage> {
  const node = path.join(root, nodeOfImages);
  await mkdir(path.dirname(node), { recursive: true });
  if (/^node[:@]/.test(image)) await symlink(process.execPath, node);
  return { root, workdir: '/', env: {}, entrypoint: [], cmd: [], healthcheck: [] };
}

async function takeStep(
  step: Instruction,
  stage: Stage,
  stages: ReadonlyMap<string, Stage>,
  context: string,
): Promise<void> {
  switch (step.getKeyword()) {
    case 'WORKDIR':
      stage.workdir = path.posix.resolve(stage.workdir, step.getArgumentsContent() ?? '');
      await mkdir(path.join(stage.root, stage.workdir), { recursive: true });
      return;
    case 'COPY':
      await copy(step, stage, stages, context);
      return;
    case 'RUN':
      await runCommand(step.getArgumentsContent() ?? '', stage);
      return;
    case 'ENV':
      for (const word of wordsOf(step)) {
        const [name = '', value = ''] = word.split(/=(.*)/s);
        stage.env[name] = value;
      }
      return;
    case 'ENTRYPOINT':
      stage.entrypoint = argvOf(step);
      return;
    case 'CMD':
      stage.cmd = argvOf(step);
      return;
    case 'HEALTHCHECK':
      stage.healthcheck = argvOf(step);
      return;
    // They change no file, and nothing about how the program is run.
    case 'ARG':
    case 'LABEL':
    case 'EXPOSE':
    case 'USER':
      return;
    default:
      throw new Error(`can not carry out a step of a Dockerfile: ${step.toString()}`);
  }
}

async function runCommand(command: string, { root, workdir, env }: Stage): Promise<void> {
  // On this machine an absolute path is one of this machine.
  if (/(^|[\s=:'"<>])\//.test(command)) {
    throw new Error(`RUN must keep to relative paths: ${command}`);
  }
  await run('sh', ['-c', command], {
    cwd: path.join(root, workdir),
    env: { ...process.env, ...env },
  });
}

async function copy(
  step: Instruction,
  stage: Stage,
  stages: ReadonlyMap<string, Stage>,
  context: string,
): Promise<void> {
  const from = step instanceof Copy ? step.getFromFlag()?.getValue() : undefined;
  const source = from ? stages.get(from)?.root : context;
  if (source === undefined) throw new Error(`there is no stage ${from ?? ''} to copy from`);
  const isIgnored = from ? () => false : ignored(context);

  const paths = [...wordsOf(step)];
  const target = paths.pop() ?? '';
  const destination = path.join(stage.root, path.posix.resolve(stage.workdir, target));
  for (const name of paths) {
    const file = path.join(source, name);
    if (isIgnored(file)) throw new Error(`.dockerignore leaves out ${name}, which COPY names`);
    // A folder's content is copied, but a file itself.
    const isInto = target.endsWith('/') && !(await stat(file)).isDirectory();
    await cp(file, isInto ? path.join(destination, path.basename(name)) : destination, {
      recursive: true,
      verbatimSymlinks: true,
      filter: (entry) => !isIgnored(entry),
    });
  }
}

/** Whether .dockerignore leaves a file out. The last line that fits it, or a folder above, decides. */
function ignored(context: string): (file: string) => boolean {
  const lines = readFileSync(path.join(context, '.dockerignore'), 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => ({ pattern: line.replace(/^!/, ''), out: !line.startsWith('!') }));
  for (const { pattern } of lines) {
    if (pattern !== '*' && /[*?[\\]/.test(pattern)) {
      throw new Error(`can not tell what .dockerignore means by ${pattern}`);
    }
  }
  return (file) => {
    const name = path.relative(context, file);
    const last = lines.findLast(
      ({ pattern }) => pattern === '*' || name === pattern || name.startsWith(`${pattern}/`),
    );
    return last?.out ?? false;
  };
}

function wordsOf(step: Instruction): readonly string[] {
  return (step.getArgumentsContent() ?? '').split(/\s+/);
}

/** The command of a step in its exec form. */
function argvOf(step: Instruction): readonly string[] {
  const [command] = /\[.*\]$/s.exec(step.getArgumentsContent() ?? '') ?? [];
  if (command === undefined) throw new Error(`a shell would run this: ${step.toString()}`);
  return JSON.parse(command) as string[];
}
