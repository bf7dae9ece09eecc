import { LRUCache } from 'lru-cache';
import type { ParsingDatabase } from '../../db/database';
import { read, type Query } from '../../db/query';
import { readRetryPolicy, type Retry, type RetryPolicy } from '../../db/retry';
import { isUuid, toId, type ApplicationId } from '../../model/ids';
import { privileges, type Privilege } from '../../model/privileges';
import { ServiceError } from '../../model/problems';
import type { Actor } from '../../model/session';
import { apiKeysByHash, existingApplications, hashApiKey } from '../../store/accounts';
import { readSurely } from '../../store/surely';
import { Batches } from '../../turns/batches';

/** The caller: the application that it acts for, and what it may do. */
export interface Caller {
  readonly applicationId: ApplicationId;
  /** Who acts for it. */
  readonly actor: Actor;
  readonly privileges: ReadonlySet<string>;
}

/** The credentials of a call. A missing value is undefined. */
export interface Credentials {
  readonly apiKey: string | undefined;
  /** The application that a gateway acts for. */
  readonly applicationId: string | undefined;
  /** Whether one of them has more than one value. */
  readonly repeated: boolean;
  /** The names in the client's certificate, verified: none if it has none. */
  readonly peerNames: () => readonly string[];
  /** The address and the port of the connection's other end. */
  readonly peer: string;
}

/** The other end of a connection. Look-ups take turns by connection, because the caller is not yet known. */
type Peer = string;

/** The owner of a valid API key. */
interface KeyOwner extends Caller {
  readonly expiresAt: Date | null;
}

/** How long a key is remembered, in milliseconds: a revoked one stops working within this time. */
const cacheTtl = 2_000;
const cachedEntries = 10_000;

/**
 * The most keys, or applications, that one statement looks up, and the most that wait. Strangers can ask for
 * any number of them, so connections take turns, and when too many wait, calls are refused.
 */
const lookUps = { size: 64, limit: 1_000 };

/** How many database connections the look-ups take: one for keys and one for applications. */
export const lookUpConnections = 2;

/** Few tries, because every caller whose key is not in the cache waits for them. */
const policy: RetryPolicy = { ...readRetryPolicy, unreachable: 2 };

/** Authenticates callers: by API key, or by the application that a trusted gateway names. */
export class Callers {
  /** Owners by the hash of their key in hexadecimal. Concurrent look-ups of one key share one query. */
  private readonly owners: LRUCache<string, KeyOwner, Peer>;
  /** The hashes of unknown keys. A repeated call with one of them does not ask the database. */
  private readonly unknown = new LRUCache<string, true>({ max: cachedEntries, ttl: cacheTtl });
  /** Applications that gateways act for, and that exist. */
  private readonly applications: LRUCache<ApplicationId, true, Peer>;
  private readonly keyLookUps: Batches<Peer, string, KeyOwner | undefined>;
  private readonly applicationLookUps: Batches<Peer, ApplicationId, boolean>;

  /**
   * @param db has {@link lookUpConnections} connections for the look-ups.
   * @param gateways the names in client certificates that may act for any application.
   */
  constructor(
    private readonly db: ParsingDatabase,
    private readonly retry: Retry,
    private readonly gateways: ReadonlySet<string>,
  ) {
    this.keyLookUps = new Batches((hashes) => this.findOwners(hashes), lookUps);
    this.applicationLookUps = new Batches((ids) => this.findApplications(ids), lookUps);
    // A look-up whose entry is evicted from the cache still completes for those who wait for it.
    const options = { max: cachedEntries, ttl: cacheTtl, ignoreFetchAbort: true };
    this.owners = new LRUCache<string, KeyOwner, Peer>({
      ...options,
      fetchMethod: (hash, _stale, { context: peer }) => this.keyLookUps.add(peer, hash),
    });
    this.applications = new LRUCache<ApplicationId, true, Peer>({
      ...options,
      fetchMethod: async (id, _stale, { context: peer }) =>
        (await this.applicationLookUps.add(peer, id)) || undefined,
    });
  }

  /**
   * The caller that the credentials of a call stand for.
   *
   * @throws ServiceError with CREDENTIALS_AMBIGUOUS, API_KEY_INVALID, GATEWAY_NOT_TRUSTED or
   * APPLICATION_NOT_FOUND; OVERLOADED if too many look-ups wait.
   */
  async authenticate(credentials: Credentials): Promise<Caller> {
    const { apiKey, applicationId, repeated, peerNames, peer } = credentials;
    if (repeated) throw new ServiceError({ reason: 'CREDENTIALS_AMBIGUOUS' });
    if (applicationId === undefined) return this.ownerOf(apiKey, peer);
    if (apiKey !== undefined) throw new ServiceError({ reason: 'CREDENTIALS_AMBIGUOUS' });
    const gateway = peerNames().find((name) => this.gateways.has(name));
    if (gateway === undefined) throw new ServiceError({ reason: 'GATEWAY_NOT_TRUSTED' });
    return this.namedBy(gateway, applicationId, peer);
  }

  private async ownerOf(apiKey: string | undefined, peer: Peer): Promise<Caller> {
    const owner = apiKey ? await this.find(hashApiKey(apiKey).toString('hex'), peer) : undefined;
    if (!owner || (owner.expiresAt !== null && owner.expiresAt <= new Date())) {
      throw new ServiceError({ reason: 'API_KEY_INVALID' });
    }
    return owner;
  }

  private async find(hash: string, peer: Peer): Promise<KeyOwner | undefined> {
    if (this.unknown.get(hash)) return undefined;
    const owner = await this.owners.fetch(hash, { context: peer });
    if (!owner) this.unknown.set(hash, true);
    return owner;
  }

  private async namedBy(gateway: string, text: string, peer: Peer): Promise<Caller> {
    const id = isUuid(text) ? toId<ApplicationId>(text) : undefined;
    if (id === undefined || !(await this.applications.fetch(id, { context: peer }))) {
      throw new ServiceError({ reason: 'APPLICATION_NOT_FOUND' });
    }
    return {
      applicationId: id,
      actor: { apiKeyId: null, gateway },
      privileges: new Set(privileges),
    };
  }

  private async findOwners(hashes: readonly string[]): Promise<(KeyOwner | undefined)[]> {
    const keys = await this.readAll(apiKeysByHash(hashes), hashes.length);
    return hashes.map((hash) => {
      const key = keys.get(hash);
      return key && { ...key, actor: { apiKeyId: key.id, gateway: null } };
    });
  }

  private async findApplications(ids: readonly ApplicationId[]): Promise<boolean[]> {
    const found = await this.readAll(existingApplications(ids), ids.length);
    return ids.map((id) => found.has(id));
  }

  /** Runs a query that should find `size` members. If some are missing, it is read again: see {@link readSurely}. */
  private readAll<Found extends { readonly size: number }>(
    wanted: Query<Found>,
    size: number,
  ): Promise<Found> {
    return this.retry(
      () =>
        readSurely(
          this.db,
          (db) => read(db, wanted),
          (found) => found.size < size,
        ),
      policy,
    );
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
