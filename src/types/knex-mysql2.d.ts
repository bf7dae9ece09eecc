/** Knex's client for MySQL: Knex types only what all clients have in common. */
declare module 'knex/lib/dialects/mysql2' {
  import type { Knex } from 'knex';

  export default class MySql2Client extends Knex.Client {
    _query(connection: object, statement: { readonly sql: string }): Promise<unknown>;
    _stream(connection: object, statement: object, ...rest: readonly unknown[]): Promise<unknown>;
    acquireRawConnection(): Promise<object>;
  }
}
