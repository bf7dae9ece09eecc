import { readFileSync } from 'node:fs';
import { arch, cpus, platform, totalmem } from 'node:os';
import path from 'node:path';
import type { Database } from '../src/db/database';
import { read, select } from '../src/db/query';

/** What a production server would be given, too: nothing else differs from MySQL's defaults. */
export const mysqldArguments = [
  '--innodb-buffer-pool-size=4G',
  '--innodb-redo-log-capacity=2G',
] as const;

/** What decides how durable and how fast a server is. */
const settings = [
  'version',
  'innodb_flush_log_at_trx_commit',
  'sync_binlog',
  'log_bin',
  'binlog_format',
  'max_binlog_cache_size',
  'innodb_doublewrite',
  'innodb_buffer_pool_size',
  'innodb_redo_log_capacity',
  'innodb_flush_method',
];

/** Where the figures come from. */
export interface Environment {
  readonly takenAt: string;
  readonly machine: string;
  readonly node: string;
  readonly packages: Readonly<Record<string, string>>;
  readonly mysql: Readonly<Record<string, string>>;
}

export async function describeEnvironment(db: Database): Promise<Environment> {
  const rows = await read(
    db,
    select<{ Variable_name: string; Value: string }>(
      'SHOW GLOBAL VARIABLES WHERE Variable_name IN (?)',
      [settings],
    ),
  );
  const processors = cpus();
  const gigabytes = Math.round(totalmem() / 2 ** 30);
  return {
    takenAt: new Date().toISOString(),
    machine: `${processors.length} × ${processors[0]?.model.trim() ?? 'unknown'}, ${gigabytes} GB, ${platform()} ${arch()}`,
    node: process.version,
    packages: Object.fromEntries(
      ['@grpc/grpc-js', 'knex', 'mysql2', 'jose'].map((name) => [name, versionOf(name)]),
    ),
    mysql: Object.fromEntries(rows.map((row) => [row.Variable_name, row.Value])),
  };
}

function versionOf(name: string): string {
  const manifest = path.join(__dirname, '..', 'node_modules', name, 'package.json');
  return (JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version;
}
