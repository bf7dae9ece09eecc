import type { Database } from '../db/connection';
import { toBinary, type ApplicationId, type RequestId } from '../model/ids';
import { read } from '../db/query';
import { retrying, usualTries } from '../db/retry';
import { ServiceError } from '../model/problems';
import type { ImportObserver } from './observer';
import type { KeptAnswer } from '../model/session';

/** A ledger entry, as far as it remembers a request; all null if that had no id. */
export interface KeptRow {
  readonly request_id: Buffer | null;
  readonly request_digest: Buffer | null;
  readonly answer: Buffer | null;
}

/** What identifies a request when it comes again. */
export interface RequestIdentity {
  readonly id: RequestId;
  readonly digest: Buffer;
}

/** The answers that the ledger keeps for requests with an id. */
export class KeptAnswers {
  constructor(
    private readonly db: Database,
    private readonly observer: ImportObserver,
  ) {}

  /**
   * Looks whether an application has made an import by this request before.
   *
   * @returns the answer that it got then; undefined if the id is new.
   * @throws ServiceError with REQUEST_ID_REUSED if the id stands for another request.
   */
  async find(
    applicationId: ApplicationId,
    request: RequestIdentity,
  ): Promise<KeptAnswer | undefined> {
    const find = (): Promise<KeptRow[]> =>
      read(
        this.db,
        `SELECT request_id, request_digest, answer FROM session_imports
         WHERE application_id = ? AND request_id = ?`,
        [toBinary(applicationId), toBinary(request.id)],
      );
    const [row] = await retrying(find, usualTries, (failure) => {
      this.observer.retried(failure);
    });
    if (!row) return undefined;
    const recalled = recall(request, row);
    if (recalled.type !== 'same') throw new ServiceError({ reason: 'REQUEST_ID_REUSED' });
    return { answer: recalled.answer, own: false };
  }
}

/** What a ledger entry remembers of a request. */
type Recalled =
  /** It was made by the very same request, and this was the answer. */
  | { readonly type: 'same'; readonly answer: Buffer }
  /** It was made by another request with the same id. */
  | { readonly type: 'reused' }
  /** It was made by a request with another id, or without one. */
  | { readonly type: 'unrelated' };

/** Compares a request with the one that a ledger entry was made by. */
export function recall(request: RequestIdentity | null, row: KeptRow): Recalled {
  if (!request || !row.request_id?.equals(toBinary(request.id))) return { type: 'unrelated' };
  const { request_digest: digest, answer } = row;
  // An operator may have erased what was asked and answered; the id stays taken.
  if (!answer || !digest?.equals(request.digest)) return { type: 'reused' };
  return { type: 'same', answer };
}
