import type { Database } from '../db/connection';
import { toBinary, type ApplicationId, type RequestId } from '../db/ids';
import { read } from '../db/query';
import { ServiceError } from '../errors';
import type { KeptAnswer } from './session';

/** A ledger entry, as far as it remembers a request; all null if the request had no id. */
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
  constructor(private readonly db: Database) {}

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
    const [row] = await read<KeptRow>(
      this.db,
      `SELECT request_id, request_digest, answer FROM session_imports
       WHERE application_id = ? AND request_id = ?`,
      [toBinary(applicationId), toBinary(request.id)],
    );
    if (!row) return undefined;
    const kept = keptFor(request, row);
    if (!kept) throw new ServiceError({ reason: 'REQUEST_ID_REUSED' });
    return kept;
  }
}

/** The answer that a ledger entry keeps, if it is that of the very same request. */
export function keptFor(
  { id, digest }: RequestIdentity,
  { request_id: keptId, request_digest: keptDigest, answer }: KeptRow,
): KeptAnswer | undefined {
  if (!keptId || !keptDigest || !answer) return undefined;
  return toBinary(id).equals(keptId) && digest.equals(keptDigest) ? { answer } : undefined;
}
