import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { unpackFromDebian } from '../../scripts/debian';
import type { Command } from '../../scripts/mysql/processes';

/** A MariaDB that was unpacked, laid out as its own scripts expect it. */
export interface MariaDb {
  /** Its base folder. */
  readonly base: string;
  readonly server: string;
  readonly galera: string;
  /** The PATH by which it finds the scripts and programs of a state transfer. */
  readonly path: string;
}

/** Programs that scripts of MariaDB call, each by its path below `/usr`. */
const programs = [...['sbin/mariadbd', 'bin/my_print_defaults', 'bin/resolveip', 'bin/ps']];

const scripts = ['wsrep_sst_rsync', 'wsrep_sst_common'];

/**
 * MariaDB 10.11 and Galera 4 out of Debian's archive.
 *
 * @param folder for the base folder.
 */
export async function mariaDb(folder: string): Promise<MariaDb> {
  const { usr, command } = await unpackFromDebian({
    title: 'MariaDB',
    suite: 'bookworm',
    packages: ['mariadb-server', 'galera-4'],
    unneeded: ['usr/lib/mysql/plugin', 'var'],
    megabytes: 45,
  });
  const base = path.join(folder, 'mariadb');
  await mkdir(path.join(base, 'bin'), { recursive: true });
  await mkdir(path.join(base, 'sbin'));
  for (const program of programs) await writeScript(path.join(base, program), command(program));
  // As root, it would receive files as `nobody`.
  await writeScript(
    path.join(base, 'bin/rsync'),
    command('bin/rsync'),
    'case " $* " in *" --daemon "*) [ "$(id -u)" != 0 ] || set -- "$@" --dparam=uid=root ;; esac\n',
  );
  // Scripts that find it look for listeners in /proc, and need neither `ss` nor `lsof`.
  await writeScript(path.join(base, 'bin/selinuxenabled'), ['true']);
  for (const script of scripts)
    await symlink(path.join(usr, 'bin', script), path.join(base, 'bin', script));
  await symlink(
    path.join(usr, 'bin/mariadb-install-db'),
    path.join(base, 'bin/mariadb-install-db'),
  );
  await symlink(path.join(usr, 'share'), path.join(base, 'share'));
  return {
    base,
    server: path.join(base, 'sbin/mariadbd'),
    galera: path.join(usr, 'lib/galera/libgalera_smm.so'),
    path: `${path.join(base, 'bin')}:${process.env['PATH'] ?? ''}`,
  };
}

async function writeScript(file: string, command: Command, before = ''): Promise<void> {
  await writeFile(file, `#!/bin/sh\n${before}exec ${command.join(' ')} "$@"\n`);
  await chmod(file, 0o755);
}
