import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cachedFolder } from './cache';
import { run, type Command } from './processes';

/** The suite which carries MySQL: Debian's releases carry MariaDB in its place. */
const suite = 'sid';

const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';

const architectures: Partial<
  Record<NodeJS.Architecture, { name: string; triplet: string; loader: string }>
> = {
  x64: { name: 'amd64', triplet: 'x86_64-linux-gnu', loader: 'ld-linux-x86-64.so.2' },
  arm64: { name: 'arm64', triplet: 'aarch64-linux-gnu', loader: 'ld-linux-aarch64.so.1' },
};

/**
 * A MySQL server out of Debian's archive, unpacked into the user's cache. Nothing is installed and
 * nothing of the machine's package management changes, so this takes no rights either.
 *
 * @returns The command which starts the server.
 * @throws An `Error` which says why where this machine cannot do so.
 */
export async function unpackFromDebian(): Promise<Command> {
  const architecture = architectures[process.arch];
  if (!architecture) throw new Error(`No MySQL in Debian's archive for ${process.arch} is known.`);
  const { name, triplet, loader } = architecture;

  const folder = await cachedFolder(`mysql-debian-${suite}-${name}`, async (draft) => {
    const archive = await debianArchive();
    console.error("Fetching MySQL from Debian's archive (once per machine, about 70 MB) …");
    await unpack(await download(archive, name, join(draft, 'apt')), draft);
    // What came along only because a package depends on it is most of the 330 MB.
    const unneeded = ['apt', 'etc', 'usr/bin', `usr/lib/${triplet}/gconv`];
    for (const place of ['usr/share', `usr/lib/${triplet}`]) {
      unneeded.push(`${place}/perl`, `${place}/perl-base`);
    }
    for (const kind of ['doc', 'man', 'locale']) unneeded.push(`usr/share/${kind}`);
    for (const path of unneeded) await rm(join(draft, path), { recursive: true, force: true });
  });

  const usr = join(folder, 'usr');
  const libraries = join(usr, 'lib', triplet);
  return [
    // The libraries are newer than the machine's own, so they need the loader they came with.
    join(libraries, loader),
    '--library-path',
    libraries,
    join(usr, 'sbin/mysqld'),
    '--no-defaults',
    `--basedir=${usr}`,
    `--lc-messages-dir=${join(usr, 'share/mysql')}`,
    `--character-sets-dir=${join(usr, 'share/mysql/charsets')}`,
    `--plugin-dir=${join(usr, 'lib/mysql/plugin')}`,
  ];
}

/** The address of the mirror this machine has its own Debian packages from. */
async function debianArchive(): Promise<string> {
  const system = await readFile('/etc/os-release', 'utf8').catch(() => '');
  if (!/^ID=debian$/m.test(system)) throw new Error('This is not a Debian machine.');
  const release = /^VERSION_CODENAME=(.+)$/m.exec(system)?.[1] ?? suite;

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
 * Downloads the server and all it depends on, as if nothing were installed yet.
 *
 * @param folder Created, and home to everything apt needs, apart from the machine's own settings
 *   of how to reach a mirror.
 * @returns The packages' files.
 */
async function download(archive: string, architecture: string, folder: string): Promise<string[]> {
  const packages = join(folder, 'cache/archives');
  await mkdir(join(folder, 'lists/partial'), { recursive: true });
  await mkdir(join(packages, 'partial'), { recursive: true });

  const status = join(folder, 'status');
  await writeFile(status, '');
  const sources = join(folder, 'sources.list');
  const signedBy = existsSync(keyring) ? ` signed-by=${keyring}` : '';
  await writeFile(sources, `deb [arch=${architecture}${signedBy}] ${archive} ${suite} main\n`);

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
Dir::Cache::Archives "${packages}";
Dir::Etc::SourceList "${sources}";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
`,
  );

  const apt: Command = ['apt-get', '--config-file', settings, '--quiet', '--yes'];
  await run([...apt, 'update']);
  await run([...apt, '--download-only', 'install', 'mysql-server-core']);

  const files = await readdir(packages);
  return files.filter((file) => file.endsWith('.deb')).map((file) => join(packages, file));
}

async function unpack(packages: readonly string[], folder: string): Promise<void> {
  for (const file of packages) await run(['dpkg-deb', '--extract', file, folder]);
}
