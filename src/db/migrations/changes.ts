import type { Knex } from 'knex';
import { must } from '../../model/must';
import { read, select } from '../query';

/*
 * MySQL commits each change of the schema by itself, so a migration that fails stays half done. Each change
 * is one statement, which is done or not (MySQL 8.4 manual, section 15.1.1), and looks first whether
 * an earlier try has done it. So a migration can be run again until it has come to its end.
 */

/** The names of a table's columns, keys and constraints; none if there is no such table. */
async function partsOf(knex: Knex, table: string): Promise<ReadonlySet<string>> {
  const found = await read(
    knex,
    select<{ name: string }>(
      `SELECT COLUMN_NAME AS name FROM information_schema.COLUMNS
       WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ?
       UNION ALL
       SELECT INDEX_NAME FROM information_schema.STATISTICS
       WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ?
       UNION ALL
       SELECT CONSTRAINT_NAME FROM information_schema.TABLE_CONSTRAINTS
       WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ?`,
      [table, table, table],
    ),
  );
  return new Set(found.map(({ name }) => name));
}

/**
 * Creates an InnoDB table whose text is compared by code point, and which has room for long keys and for rows
 * with many long values, whatever the defaults of the server.
 *
 * @throws Error if there is such a table with rows in it: no earlier try of this migration has left it.
 */
export async function createTable(
  knex: Knex,
  name: string,
  build: (table: Knex.CreateTableBuilder) => void,
): Promise<void> {
  const [create, ...parts] = knex.schema
    .createTable(name, (table) => {
      table.charset('utf8mb4');
      table.collate('utf8mb4_bin');
      table.engine('InnoDB row_format = DYNAMIC');
      build(table);
    })
    .toSQL() as unknown as readonly { readonly sql: string }[];
  const made = await partsOf(knex, name);
  if (made.size === 0) {
    const keys = parts.map(({ sql }) => `, ${sql.replace(/^alter table `\w+` add /, '')}`);
    // Knex adds the keys afterwards. Here the table is made with them or not at all.
    await knex.raw(must(create, name).sql.replace(') default', `${keys.join('')}) default`));
    return;
  }
  // Earlier versions made a table step by step.
  await takeOver(knex, name);
  for (const { sql } of parts) {
    const [, key = ''] = /^alter table `\w+` add \w+ `(\w+)`/.exec(sql) ?? [];
    if (!made.has(key)) await knex.raw(sql);
  }
}

/** Checks whether a table is left from an earlier try, perhaps of a version that used the server's row format. */
async function takeOver(knex: Knex, table: string): Promise<void> {
  const [state] = await read(
    knex,
    select<{ row_format: string; used: number }>(
      `SELECT ROW_FORMAT AS row_format, EXISTS (SELECT 1 FROM ??) AS used
       FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ?`,
      [table, table],
    ),
  );
  if (state?.used === 1) {
    throw new Error(`there is a table ${table} already, and it has rows: it is not touched`);
  }
  if (state?.row_format !== 'Dynamic')
    await knex.raw('ALTER TABLE ?? ROW_FORMAT = DYNAMIC', [table]);
}

/**
 * Changes a table by one statement, unless that was done before.
 *
 * @param sign what shows that it was done: a column or key that it adds, or one that it drops.
 * @param changes SQL behind `ALTER TABLE` and the table's name.
 */
export async function alterTable(
  knex: Knex,
  table: string,
  sign: { readonly adds: string } | { readonly drops: string },
  changes: string,
): Promise<void> {
  const parts = await partsOf(knex, table);
  const done = 'adds' in sign ? parts.has(sign.adds) : !parts.has(sign.drops);
  if (!done) await knex.raw(`ALTER TABLE ${table}\n${changes}`);
}
