import type { Knex } from 'knex';

/**
 * The ten statuses of a session, as they are stored. Not those of `model/session.ts`, although they
 * are the same: a migration stays as it was released.
 */
export const sessionStatuses = [
  'Not Started',
  'In Progress',
  'Awaiting User',
  'In Review',
  'Approved',
  'Declined',
  'Resubmitted',
  'Expired',
  'Kyc Expired',
  'Abandoned',
];

export const sessionKinds = ['user', 'business'];

/** A UUID, as its 16 bytes. */
export function uuid(table: Knex.CreateTableBuilder, name: string): Knex.ColumnBuilder {
  return table.specificType(name, 'binary(16)');
}

/** A moment in UTC, to the microsecond. */
export function moment(table: Knex.CreateTableBuilder, name: string): Knex.ColumnBuilder {
  return table.specificType(name, 'datetime(6)');
}

/**
 * A vendor entity's name, chosen by an application: 255 characters of UTF-8, kept as bytes since
 * every text collation that all the supported databases share ignores trailing blanks in
 * comparisons (PAD SPACE; MySQL 8.4 manual, section 12.10.5.3).
 */
export function vendorData(table: Knex.CreateTableBuilder): Knex.ColumnBuilder {
  return table.specificType('vendor_data', 'varbinary(1020)');
}

/** The key of a file in object storage. */
export function media(table: Knex.CreateTableBuilder, ...names: readonly string[]): void {
  for (const name of names) table.string(name, 512);
}

/** Structured detail that is neither searched nor listed. */
export function json(table: Knex.CreateTableBuilder, ...names: readonly string[]): void {
  for (const name of names) table.json(name);
}

/** Short texts of at most 255 characters. */
export function texts(table: Knex.CreateTableBuilder, ...names: readonly string[]): void {
  for (const name of names) table.string(name, 255);
}

/** Yes, no or unknown. */
export function flags(table: Knex.CreateTableBuilder, ...names: readonly string[]): void {
  for (const name of names) table.boolean(name);
}

/** Calendar dates. */
export function dates(table: Knex.CreateTableBuilder, ...names: readonly string[]): void {
  for (const name of names) table.date(name);
}

/** Scores and percentages: 0 to 100 with four decimals, with room for other scales. */
export function scores(table: Knex.CreateTableBuilder, ...names: readonly string[]): void {
  for (const name of names) table.decimal(name, 9, 4);
}
