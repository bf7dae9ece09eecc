import type { Database } from '../db/database';
import { read } from '../db/query';
import { readRetryPolicy, type Retry } from '../db/retry';
import type { ApplicationId } from '../model/ids';
import { ServiceError } from '../model/problems';
import { storedRequests, type RequestKey, type StoredRequest } from '../store/ledger/entries';
import { Batches } from '../turns/batches';
import type { IdempotentRequest } from './request';

/** How a request relates to the request that created a ledger entry. */
type Comparison =
  /** The same request; this was its answer. */
  | { readonly type: 'same'; readonly answer: Buffer }
  /** Another request with the same key. */
  | { readonly type: 'reused' }
  /** A request with another key, or without one. */
  | { readonly type: 'unrelated' };

/** Compares a request with the request that created a ledger entry. */
export function compareRequests(key: IdempotentRequest | null, stored: StoredRequest): Comparison {
  if (key === null) return { type: 'unrelated' };
  if (key.id !== stored.id) return { type: 'unrelated' };
  const { digest, answer } = stored;
  // An operator may have erased what was asked and answered; the key stays taken.
  if (!answer || !digest?.equals(key.digest)) return { type: 'reused' };
  return { type: 'same', answer };
}

/**
 * The most keys that one statement looks up, and the most that wait. There are few in a statement, because
 * each answer can have some hundred thousand bytes.
 */
const lookUps = { size: 32, limit: 2_000 };

/** The answers that the ledger keeps for requests with an idempotency key. It takes one connection. */
export class StoredAnswers {
  private readonly lookUps: Batches<ApplicationId, RequestKey, StoredRequest | undefined>;

  constructor(db: Database, retry: Retry) {
    this.lookUps = new Batches(
      (keys) => retry(() => read(db, storedRequests(keys)), readRetryPolicy),
      lookUps,
    );
  }

  /**
   * Looks up whether an application has already made an import with this request.
   *
   * @returns the answer that it got then; undefined if the key is new.
   * @throws ServiceError with REQUEST_ID_REUSED if another request has used the key; OVERLOADED if too
   * many look-ups wait.
   */
  async find(applicationId: ApplicationId, key: IdempotentRequest): Promise<Buffer | undefined> {
    const stored = await this.lookUps.add(applicationId, { applicationId, id: key.id });
    if (!stored) return undefined;
    const compared = compareRequests(key, stored);
    if (compared.type !== 'same') throw new ServiceError({ reason: 'REQUEST_ID_REUSED' });
    return compared.answer;
  }
}
