import { randomBytes } from 'node:crypto';

/** The unguessable part of a session's URL: 256 random bits. */
const sessionTokenBytes = 32;

/** Makes a session token. */
export function newSessionToken(): string {
  return randomBytes(sessionTokenBytes).toString('base64url');
}
