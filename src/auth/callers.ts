import { createHash, randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import type { Database } from '../db/connection';
import { fromBinary, type ApiKeyId, type ApplicationId } from '../db/ids';
import { read } from '../db/query';
import { ServiceError } from '../errors';

/** What an API key may allow. */
export const privileges = ['write:sessions'] as const;
export type Privilege = (typeof privileges)[number];

/** Whoever makes a call: the application that the API key belongs to, and what the key allows. */
export interface Caller {
  readonly apiKeyId: ApiKeyId;
  readonly applicationId: ApplicationId;
  readonly privileges: ReadonlySet<string>;
}

interface StoredKey extends Caller {
  readonly expiresAt: Date | null;
}

/** How long a key is remembered, in milliseconds: a revoked one stops working within this time. */
const cacheLife = 2_000;
const cachedKeys = 10_000;

/** 256 random bits; the prefix lets secret scanners find a key that was leaked. */
const apiKeyPrefix = 'sik_';
const apiKeyBytes = 32;

/** Makes a new API key. It is shown once and never stored. */
export function newApiKey(): string {
  return apiKeyPrefix + randomBytes(apiKeyBytes).toString('base64url');
}

/** What is stored of an API key. It has too much entropy to need a slow hash. */
export function hashApiKey(apiKey: string): Buffer {
  return createHash('sha256').update(apiKey, 'utf8').digest();
}

/** Finds out who calls, by API key. */
export class Callers {
  /** Keys by their hash in hexadecimal. Concurrent look-ups of one key share one query. */
  private readonly known: LRUCache<string, StoredKey>;

  constructor(private readonly db: Database) {
    this.known = new LRUCache<string, StoredKey>({
      max: cachedKeys,
      ttl: cacheLife,
      fetchMethod: (hash) => this.find(Buffer.from(hash, 'hex')),
      // A look-up that others have pushed out of the cache goes on for whoever waits for it.
      ignoreFetchAbort: true,
    });
  }

  /**
   * The caller that an API key stands for.
   *
   * @throws ServiceError with API_KEY_INVALID if it is missing, unknown, revoked or expired.
   */
  async authenticate(apiKey: string | undefined): Promise<Caller> {
    const key = apiKey ? await this.known.fetch(hashApiKey(apiKey).toString('hex')) : undefined;
    if (!key || (key.expiresAt !== null && key.expiresAt <= new Date())) {
      throw new ServiceError({ reason: 'API_KEY_INVALID' });
    }
    return key;
  }

  private async find(hash: Buffer): Promise<StoredKey | undefined> {
    interface Row {
      readonly id: Buffer;
      readonly application_id: Buffer;
      readonly privileges: unknown;
      readonly expires_at: Date | null;
    }
    const [row] = await read<Row>(
      this.db,
      `SELECT id, application_id, privileges, expires_at FROM api_keys
       WHERE key_hash = ? AND revoked_at IS NULL`,
      [hash],
    );
    return (
      row && {
        apiKeyId: fromBinary(row.id),
        applicationId: fromBinary(row.application_id),
        privileges: new Set(z.array(z.string()).parse(row.privileges)),
        expiresAt: row.expires_at,
      }
    );
  }
}

/**
 * Requires that a caller's key allows something.
 *
 * @throws ServiceError with PRIVILEGE_MISSING
 */
export function requirePrivilege(caller: Caller, privilege: Privilege): void {
  if (!caller.privileges.has(privilege)) {
    throw new ServiceError({ reason: 'PRIVILEGE_MISSING', privilege });
  }
}
