import type { MultiDatabase } from '../db/database';
import { read, readTogether } from '../db/query';
import type { ApplicationId, SessionId } from '../model/ids';
import { erasureOf } from './erasures';
import { importOf, type LedgerStep } from './ledger/records';
import { sessionById } from './sessions/find';
import { readSurely } from './surely';

/** The most imports that are followed. Real chains are far shorter. */
const maxSteps = 100;

/** Where a session came from. */
export interface Provenance {
  /** The imports from the session back to its origin; none if it is not a copy. */
  readonly steps: readonly LedgerStep[];
  /** Whether the origin was reached: the source of the last import is not a copy. */
  readonly complete: boolean;
}

/**
 * Follows a session back to its origin, through the ledger: one look-up for each import. A copy is
 * always newer than its original, so there is no cycle.
 *
 * @returns undefined if the application has no such session, has not erased it, and never had it as a copy.
 */
export async function provenanceOf(
  db: MultiDatabase,
  viewer: ApplicationId,
  sessionId: SessionId,
): Promise<Provenance | undefined> {
  const isUnknown = ([session, made, erasure]: readonly [
    unknown,
    LedgerStep | undefined,
    unknown,
  ]): boolean => !session && !erasure && made?.applicationId !== viewer;
  const found = await readSurely(
    db,
    (from) =>
      readTogether(from, [
        sessionById(sessionId, viewer),
        importOf(sessionId, viewer),
        erasureOf(sessionId, viewer),
      ]),
    isUnknown,
  );
  if (isUnknown(found)) return undefined;
  const [, made] = found;

  const steps: LedgerStep[] = [];
  let origin = sessionId;
  let step = made;
  while (step && steps.length < maxSteps) {
    steps.push(step);
    origin = step.sourceSessionId;
    step = await read(db, importOf(origin, viewer));
  }
  return { steps, complete: !step && !(await isCopy(db, origin)) };
}

/** Whether a session's own row says that it is a copy, although the ledger has no entry for it. */
async function isCopy(db: MultiDatabase, sessionId: SessionId): Promise<boolean> {
  const session = await read(db, sessionById(sessionId, undefined));
  return Boolean(session?.sharedFrom);
}
