import { mysqlFromDebian } from './debian';
import { run, type Command } from './processes';

/** A way to run a MySQL server on this machine. */
export type MysqlBinaries =
  | {
      readonly kind: 'program';
      /** Starts the server; more options may follow. */
      readonly command: Command;
      /** For example `9.7.4-2`. */
      readonly version: string;
    }
  | {
      readonly kind: 'image';
      /** The Docker image which holds the server. */
      readonly image: string;
    };

const oldestMajorVersion = 8;

/**
 * Finds a MySQL server: a `mysqld` that is installed, or else one out of Debian's archive, or else
 * one for a Docker engine.
 *
 * @throws An `Error` which says what to install where there is none of these.
 */
export async function locateMysql(): Promise<MysqlBinaries> {
  // An ordinary user's PATH often lacks the folder of the system's daemons.
  for (const program of ['mysqld', '/usr/sbin/mysqld']) {
    const command: Command = [program, '--no-defaults'];
    const version = await versionOf(command).catch(() => undefined);
    if (version !== undefined) return { kind: 'program', command, version };
  }

  let failure: unknown;
  try {
    const command = await mysqlFromDebian();
    const version = await versionOf(command);
    if (version !== undefined) return { kind: 'program', command, version };
  } catch (error) {
    failure = error;
  }

  if (await dockerAnswers()) return { kind: 'image', image: 'mysql:8.4' };

  throw new Error(
    'No MySQL server to be had. Install MySQL 8.0 or later, so that its mysqld is on the PATH, ' +
      'or start Docker, or set DATABASE_URL to a server of your own; on a Debian machine with ' +
      'access to its package mirror, MySQL is fetched from there. ' +
      `(Debian: ${failure instanceof Error ? failure.message : 'the mysqld there is no MySQL 8.'})`,
    { cause: failure },
  );
}

/** The server's version; none where it is too old a MySQL, or MariaDB. */
async function versionOf(command: Command): Promise<string | undefined> {
  const { stdout } = await run([...command, '--version']);
  const version = /\bVer ([\w.+~-]+)/.exec(stdout)?.[1];
  if (version === undefined || /mariadb/i.test(stdout)) return undefined;
  return Number.parseInt(version) >= oldestMajorVersion ? version : undefined;
}

/** The `docker` command alone is no use: it is the engine that runs containers. */
async function dockerAnswers(): Promise<boolean> {
  return run(['docker', 'info'], { timeout: 5_000 }).then(
    () => true,
    () => false,
  );
}
