import { join } from 'node:path';
import { unpackFromDebian } from '../debian';
import type { Command } from './processes';

/**
 * A MySQL server out of Debian's archive.
 *
 * @returns The command which starts the server.
 * @throws An `Error` which says why where this machine cannot do so.
 */
export async function mysqlFromDebian(): Promise<Command> {
  const { usr, command } = await unpackFromDebian({
    title: 'MySQL',
    // Debian's releases carry MariaDB in its place.
    suite: 'sid',
    packages: ['mysql-server-core'],
    unneeded: ['usr/bin'],
    megabytes: 70,
  });
  return [
    ...command('sbin/mysqld'),
    '--no-defaults',
    `--basedir=${usr}`,
    `--lc-messages-dir=${join(usr, 'share/mysql')}`,
    `--character-sets-dir=${join(usr, 'share/mysql/charsets')}`,
    `--plugin-dir=${join(usr, 'lib/mysql/plugin')}`,
  ];
}
