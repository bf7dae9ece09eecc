import { createHash, randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import type { Database } from '../../db/connection';
import { fromBinary, isUuid, toBinary, toId, type ApplicationId } from '../../model/ids';
import { read } from '../../db/query';
import { ServiceError } from '../../model/problems';
import type { Actor } from '../../model/session';

/** What an API key may allow. */
export const privileges = [
  'write:sessions',
  'write:session-shares',
  'read:session-shares',
  'read:sessions',
  'read:session-imports',
] as const;
export type Privilege = (typeof privileges)[number];

/** Whoever makes a call: for which application, and what it may do. */
export interface Caller {
  readonly applicationId: ApplicationId;
  /** Who acts for it. */
  readonly actor: Actor;
  readonly privileges: ReadonlySet<string>;
}

/** What a call says of who makes it. What is not there is undefined; what is there twice is empty. */
export interface Credentials {
  readonly apiKey: string | undefined;
  /** The application that a gateway acts for. */
  readonly applicationId: string | undefined;
  /** The names in the client's certificate, verified: none if it has none. */
  readonly peerNames: () => readonly string[];
}

interface StoredKey extends Caller {
  readonly expiresAt: Date | null;
}

/** How long a key is remembered, in milliseconds: a revoked one stops working within this time. */
const cacheLife = 2_000;
const cachedEntries = 10_000;

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

/** Whether there is an application of an id. */
export async function applicationExists(db: Database, id: ApplicationId): Promise<boolean> {
  const found = await read(db, 'SELECT 1 FROM applications WHERE id = ?', [toBinary(id)]);
  return found.length > 0;
}

/** Finds out who calls: by API key, or by what a trusted gateway says. */
export class Callers {
  /** Keys by their hash in hexadecimal. Concurrent look-ups of one key share one query. */
  private readonly keys: LRUCache<string, StoredKey>;
  /** Applications that gateways act for, and that exist. */
  private readonly applications: LRUCache<ApplicationId, true>;

  /** @param gateways the names in client certificates that may act for any application. */
  constructor(
    private readonly db: Database,
    private readonly gateways: ReadonlySet<string>,
  ) {
    // A look-up that others have pushed out of the cache goes on for whoever waits for it.
    const options = { max: cachedEntries, ttl: cacheLife, ignoreFetchAbort: true };
    this.keys = new LRUCache<string, StoredKey>({
      ...options,
      fetchMethod: (hash) => this.findKey(Buffer.from(hash, 'hex')),
    });
    this.applications = new LRUCache<ApplicationId, true>({
      ...options,
      fetchMethod: (id) => this.findApplication(id),
    });
  }

  /**
   * The caller that the credentials of a call stand for.
   *
   * @throws ServiceError with CREDENTIALS_AMBIGUOUS, API_KEY_INVALID, GATEWAY_NOT_TRUSTED or
   * APPLICATION_NOT_FOUND.
   */
  async authenticate({ apiKey, applicationId, peerNames }: Credentials): Promise<Caller> {
    if (applicationId === undefined) return this.ownerOf(apiKey);
    if (apiKey !== undefined) throw new ServiceError({ reason: 'CREDENTIALS_AMBIGUOUS' });
    const gateway = peerNames().find((name) => this.gateways.has(name));
    if (gateway === undefined) throw new ServiceError({ reason: 'GATEWAY_NOT_TRUSTED' });
    return this.namedBy(gateway, applicationId);
  }

  private async ownerOf(apiKey: string | undefined): Promise<Caller> {
    const key = apiKey ? await this.keys.fetch(hashApiKey(apiKey).toString('hex')) : undefined;
    if (!key || (key.expiresAt !== null && key.expiresAt <= new Date())) {
      throw new ServiceError({ reason: 'API_KEY_INVALID' });
    }
    return key;
  }

  private async namedBy(gateway: string, text: string): Promise<Caller> {
    const id = isUuid(text) ? toId<ApplicationId>(text) : undefined;
    if (id === undefined || !(await this.applications.fetch(id))) {
      throw new ServiceError({ reason: 'APPLICATION_NOT_FOUND' });
    }
    return {
      applicationId: id,
      actor: { apiKeyId: null, gateway },
      privileges: new Set(privileges),
    };
  }

  private async findKey(hash: Buffer): Promise<StoredKey | undefined> {
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
        applicationId: fromBinary(row.application_id),
        actor: { apiKeyId: fromBinary(row.id), gateway: null },
        privileges: new Set(z.array(z.string()).parse(row.privileges)),
        expiresAt: row.expires_at,
      }
    );
  }

  private async findApplication(id: ApplicationId): Promise<true | undefined> {
    return (await applicationExists(this.db, id)) || undefined;
  }
}

/**
 * Requires that a caller may do something.
 *
 * @throws ServiceError with PRIVILEGE_MISSING
 */
export function requirePrivilege(caller: Caller, privilege: Privilege): void {
  if (!caller.privileges.has(privilege)) {
    throw new ServiceError({ reason: 'PRIVILEGE_MISSING', privilege });
  }
}
