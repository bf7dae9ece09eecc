import { LRUCache } from 'lru-cache';
import type { ParsingDatabase } from '../../db/database';
import { isUuid, toId, type ApplicationId } from '../../model/ids';
import { privileges, type Privilege } from '../../model/privileges';
import { ServiceError } from '../../model/problems';
import type { Actor } from '../../model/session';
import { applicationExists, findApiKey, hashApiKey } from '../../store/accounts';

/** The caller: the application that it acts for, and what it may do. */
export interface Caller {
  readonly applicationId: ApplicationId;
  /** Who acts for it. */
  readonly actor: Actor;
  readonly privileges: ReadonlySet<string>;
}

/**
 * The credentials of a call. A missing value is undefined, and one that is given twice is empty.
 */
export interface Credentials {
  readonly apiKey: string | undefined;
  /** The application that a gateway acts for. */
  readonly applicationId: string | undefined;
  /** The names in the client's certificate, verified: none if it has none. */
  readonly peerNames: () => readonly string[];
}

/** The owner of an API key, for as long as the key is good. */
interface KeyOwner extends Caller {
  readonly expiresAt: Date | null;
}

/** How long a key is remembered, in milliseconds: a revoked one stops working within this time. */
const cacheTtl = 2_000;
const cachedEntries = 10_000;

/** Authenticates callers: by API key, or by the application that a trusted gateway names. */
export class Callers {
  /** Owners by the hash of their key in hexadecimal. Concurrent look-ups of one key share one query. */
  private readonly owners: LRUCache<string, KeyOwner>;
  /** Applications that gateways act for, and that exist. */
  private readonly applications: LRUCache<ApplicationId, true>;

  /** @param gateways the names in client certificates that may act for any application. */
  constructor(
    private readonly db: ParsingDatabase,
    private readonly gateways: ReadonlySet<string>,
  ) {
    // A look-up whose entry is evicted from the cache still completes for those who wait for it.
    const options = { max: cachedEntries, ttl: cacheTtl, ignoreFetchAbort: true };
    this.owners = new LRUCache<string, KeyOwner>({
      ...options,
      fetchMethod: (hash) => this.findOwner(Buffer.from(hash, 'hex')),
    });
    this.applications = new LRUCache<ApplicationId, true>({
      ...options,
      fetchMethod: async (id) => (await applicationExists(this.db, id)) || undefined,
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
    const owner = apiKey ? await this.owners.fetch(hashApiKey(apiKey).toString('hex')) : undefined;
    if (!owner || (owner.expiresAt !== null && owner.expiresAt <= new Date())) {
      throw new ServiceError({ reason: 'API_KEY_INVALID' });
    }
    return owner;
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

  private async findOwner(hash: Buffer): Promise<KeyOwner | undefined> {
    const key = await findApiKey(this.db, hash);
    return key && { ...key, actor: { apiKeyId: key.id, gateway: null } };
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
