import type { Database } from './database';
import { read, select } from './query';

/** What Knex has done: the number of the batch, and the names of the migrations. */
type Done = [number, string[]];

/**
 * Brings the schema up to date. Needs two connections.
 *
 * @throws Error if another process does the same.
 */
export function migrateUp(db: Database): Promise<Done> {
  return alone(db, () => db.migrate.latest() as Promise<Done>);
}

/** Takes the newest migration back. Otherwise like {@link migrateUp}. */
export function migrateDown(db: Database): Promise<Done> {
  return alone(db, () => db.migrate.down() as Promise<Done>);
}

/**
 * Runs some work while no other process does the same. Knex's own lock stays when a process is killed, so this
 * lock is one that ends with its connection (MySQL 8.4 manual, section 14.14). Whoever holds it knows that a
 * lock of Knex is left over, and removes it.
 */
async function alone<T>(db: Database, work: () => Promise<T>): Promise<T> {
  return db.transaction(async (holder) => {
    const lock = "CONCAT('migrate ', SHA2(DATABASE(), 224))";
    const [row] = await read(
      holder,
      select<{ got: unknown }>(`SELECT GET_LOCK(${lock}, 0) AS got`, []),
    );
    if (row?.got !== 1) throw new Error('another migrate is at work on this database');
    try {
      const mark = 'knex_migrations_lock';
      if (await db.schema.hasTable(mark)) await db(mark).update({ is_locked: 0 });
      return await work();
    } finally {
      await holder.raw(`DO RELEASE_LOCK(${lock})`);
    }
  });
}
