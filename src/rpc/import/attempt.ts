import type { Caller } from '../call/callers';
import { toServiceError } from '../../model/problems';
import type { ImportSessionRequest } from '../../gen/sessionimport/v1/session_import';
import { isRefusal } from '../../import/refusals';
import { ExpiredShareToken, type GenuineShareToken } from '../../token/share-token';
import type { Context } from '../context';
import type { Handler } from '../call/unary';

/** What is known so far of an attempt to import. */
export interface Attempt {
  caller?: Caller;
  /** There as soon as it is verified. */
  token?: GenuineShareToken;
}

/** Carries out an attempt to import, and keeps up to date what is known of it. */
export type AttemptHandler<Response> = (
  ...args: [...Parameters<Handler<ImportSessionRequest, Response>>, attempt: Attempt]
) => Promise<Response>;

/**
 * Sees to it that a refused import is on record before its caller is told: unless nobody knows who
 * called, or the call was to write nothing.
 */
export function recordingRefusals<Response>(
  { refusals }: Context,
  handle: AttemptHandler<Response>,
): Handler<ImportSessionRequest, Response> {
  return async (call, onEnd) => {
    const attempt: Attempt = {};
    try {
      return await handle(call, onEnd, attempt);
    } catch (error) {
      const { reason } = toServiceError(error).problem;
      const { caller } = attempt;
      // The request need not have been well-formed.
      if (caller && !call.request.validateOnly && isRefusal(reason)) {
        const token = error instanceof ExpiredShareToken ? error.token : attempt.token;
        await refusals.record({ ...caller, reason, token });
      }
      throw error;
    }
  };
}
