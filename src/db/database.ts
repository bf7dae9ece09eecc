import type { Knex } from 'knex';

/** Marks of pools with special abilities: code that gets the wrong pool does not compile. */
declare const multi: unique symbol;
declare const texts: unique symbol;

/** A pool of connections, or a transaction on one of them. */
export type Database = Knex;

/**
 * Takes several statements in one round trip. Only for pools on which every statement is a constant
 * text with bound values. Other pools take one statement at a time, as a second line of defence.
 */
export type MultiDatabase = Knex & { readonly [multi]: true };

/** Reads calendar dates (`YYYY-MM-DD`) and JSON as the texts that they are. */
export type TextDatabase = MultiDatabase & { readonly [texts]: true };

/** Reads JSON as values. */
export type ParsingDatabase = Knex & { readonly [texts]?: never };

/** A transaction that can do what its pool can. */
export type TransactionOf<D extends Database> = Knex.Transaction &
  Pick<D, Extract<keyof D, typeof multi | typeof texts>>;
