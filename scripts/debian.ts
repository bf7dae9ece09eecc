import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cachedFolder } from './mysql/cache';
import { run, type Command } from './mysql/processes';

const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';

const architectures: Partial<
  Record<NodeJS.Architecture, { name: string; triplet: string; loader: string }>
> = {
  x64: { name: 'amd64', triplet: 'x86_64-linux-gnu', loader: 'ld-linux-x86-64.so.2' },
  arm64: { name: 'arm64', triplet: 'aarch64-linux-gnu', loader: 'ld-linux-aarch64.so.1' },
};

/** Programs to be had from Debian's archive. */
export interface DebianPrograms {
  /** What they are, for people; and in small letters the start of the cached folder's name. */
  readonly title: string;
  /** The Debian release that they come from, whichever the machine has. */
  readonly suite: string;
  /** The packages; whatever these depend on comes along. */
  readonly packages: readonly string[];
  /** What can be deleted again, as paths within the unpacked packages. */
  readonly unneeded: readonly string[];
  /** How much is downloaded, in MB. */
  readonly megabytes: number;
}

/** Programs that were unpacked. */
export interface UnpackedPrograms {
  /** Their `/usr`. */
  readonly usr: string;
  /** The command which runs one of them, by its path below `/usr`. */
  readonly command: (program: string) => Command;
}

/**
 * Programs out of Debian's archive, unpacked into the user's cache once per machine. Nothing is
 * installed and nothing of the machine's package management changes, so this takes no rights either.
 *
 * @throws An `Error` which says why where this machine cannot do so.
 */
export async function unpackFromDebian(programs: DebianPrograms): Promise<UnpackedPrograms> {
  const { title, suite, packages, unneeded, megabytes } = programs;
  const architecture = architectures[process.arch];
  if (!architecture)
    throw new Error(`No ${title} in Debian's archive for ${process.arch} is known.`);
  const { name, triplet, loader } = architecture;

  const cacheName = `${title.toLowerCase()}-debian-${suite}-${name}`;
  const folder = await cachedFolder(cacheName, async (draft) => {
    const archive = await debianArchive();
    console.error(
      `Fetching ${title} from Debian's archive (once per machine, about ${megabytes} MB) …`,
    );
    const source = `[arch=${name}${signedBy()}] ${archive} ${suite} main`;
    await unpack(await download(packages, source, join(draft, 'apt')), draft);
    await mergeUsr(draft);
    // What came along only because a package depends on it is most of what was unpacked.
    const places = ['usr/share', `usr/lib/${triplet}`];
    const alwaysUnneeded = [
      ...['apt', 'etc', 'usr/share/doc', 'usr/share/man', 'usr/share/locale'],
      ...[`usr/lib/${triplet}/gconv`],
      ...places.flatMap((place) => [`${place}/perl`, `${place}/perl-base`]),
    ];
    for (const path of [...alwaysUnneeded, ...unneeded]) {
      await rm(join(draft, path), { recursive: true, force: true });
    }
  });

  const usr = join(folder, 'usr');
  const libraries = join(usr, 'lib', triplet);
  return {
    usr,
    // The libraries may be newer than the machine's own, so they need the loader they came with.
    command: (program) => [
      join(libraries, loader),
      '--library-path',
      libraries,
      join(usr, program),
    ],
  };
}

function signedBy(): string {
  return existsSync(keyring) ? ` signed-by=${keyring}` : '';
}

/** The address of the mirror this machine has its own Debian packages from. */
async function debianArchive(): Promise<string> {
  const system = await readFile('/etc/os-release', 'utf8').catch(() => '');
  if (!/^ID=debian$/m.test(system)) throw new Error('This is not a Debian machine.');
  const release = /^VERSION_CODENAME=(.+)$/m.exec(system)?.[1] ?? 'sid';

  const main = ['--format', '$(REPO_URI)', 'Created-By: Packages', 'Component: main'];
  for (const filter of [
    ['Origin: Debian', 'Label: Debian'],
    // Who publishes an archive is known only after the first `apt-get update`.
    ['--no-release-info', `Release: ${release}`],
  ]) {
    const { stdout } = await run(['apt-get', 'indextargets', ...main, ...filter]);
    const [archive] = stdout.split('\n');
    if (archive) return archive;
  }
  throw new Error("Debian's archive is not among this machine's package sources.");
}

/**
 * Downloads packages and all they depend on, as if nothing were installed yet.
 *
 * @param source Where from, as a line of apt's sources after its first word.
 * @param folder Created, and home to everything apt needs, apart from the machine's own settings
 *   of how to reach a mirror.
 * @returns The packages' files.
 */
async function download(
  packages: readonly string[],
  source: string,
  folder: string,
): Promise<string[]> {
  const archives = join(folder, 'cache/archives');
  await mkdir(join(folder, 'lists/partial'), { recursive: true });
  await mkdir(join(archives, 'partial'), { recursive: true });

  const status = join(folder, 'status');
  await writeFile(status, '');
  const sources = join(folder, 'sources.list');
  await writeFile(sources, `deb ${source}\n`);

  const settings = join(folder, 'apt.conf');
  await writeFile(
    settings,
    `// The machine's hooks and preferences are about its own packages.
#clear APT::Update;
#clear APT::Default-Release;
#clear DPkg;
APT::Install-Recommends "false";
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
Dir::State "${folder}";
Dir::State::Lists "${join(folder, 'lists')}";
Dir::State::Status "${status}";
Dir::Cache "${join(folder, 'cache')}";
Dir::Cache::Archives "${archives}";
Dir::Etc::SourceList "${sources}";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
`,
  );

  const apt: Command = ['apt-get', '--config-file', settings, '--quiet', '--yes'];
  await run([...apt, 'update']);
  await run([...apt, '--download-only', 'install', ...packages]);

  const files = await readdir(archives);
  return files.filter((file) => file.endsWith('.deb')).map((file) => join(archives, file));
}

async function unpack(packages: readonly string[], folder: string): Promise<void> {
  for (const file of packages) await run(['dpkg-deb', '--extract', file, folder]);
}

/**
 * Moves what is in `/bin`, `/lib` and `/sbin` to the same folders below `/usr`, where Debian's packages have
 * it since release 13.
 */
async function mergeUsr(folder: string): Promise<void> {
  for (const name of ['bin', 'lib', 'sbin']) {
    const unmerged = join(folder, name);
    if (!existsSync(unmerged)) continue;
    await mkdir(join(folder, 'usr', name), { recursive: true });
    await run(['cp', '-R', '--preserve=links', `${unmerged}/.`, join(folder, 'usr', name)]);
    await rm(unmerged, { recursive: true });
  }
}
