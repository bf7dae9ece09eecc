import { createConnection } from 'mysql2/promise';

/** Makes an empty database of a name on a server, and returns its URL. @param url of any database on the server. */
export async function createDatabase(url: string, name: string): Promise<string> {
  const connection = await createConnection(url);
  await connection.query('CREATE DATABASE ?? CHARACTER SET utf8mb4 COLLATE utf8mb4_bin', [name]);
  await connection.end();
  return Object.assign(new URL(url), { pathname: `/${name}` }).href;
}
