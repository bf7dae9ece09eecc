import type { MultiDatabase } from '../db/database';
import { read, readTogether } from '../db/query';
import type { ApplicationId, SessionId } from '../model/ids';
import { importOf, type LedgerStep } from './ledger/records';
import { sessionById } from './sessions/find';

/** How many imports are followed at most. Far more than there are applications to pass a session on. */
const mostSteps = 100;

/** Where a session came from. */
export interface Provenance {
  /** From the session back to its origin; none if it is no copy. */
  readonly steps: readonly LedgerStep[];
  /** Whether the way was followed to a session that is no copy. */
  readonly complete: boolean;
}

/**
 * Follows a session back to its origin, through the ledger: one look-up for each import. A copy is made
 * after its original, so the way does not lead in a circle.
 *
 * @returns undefined if the application has no such session, and never had it as a copy.
 */
export async function provenanceOf(
  db: MultiDatabase,
  viewer: ApplicationId,
  sessionId: SessionId,
): Promise<Provenance | undefined> {
  const [session, made] = await readTogether(db, [
    sessionById(sessionId, viewer),
    importOf(sessionId, viewer),
  ]);
  if (!session && made?.applicationId !== viewer) return undefined;

  const steps: LedgerStep[] = [];
  let origin = sessionId;
  let step = made;
  while (step && steps.length < mostSteps) {
    steps.push(step);
    origin = step.sourceSessionId;
    step = await read(db, importOf(origin, viewer));
  }
  return { steps, complete: !step && !(await isCopy(db, origin)) };
}

/** Whether a session that the ledger does not know as a copy says of itself that it is one. */
async function isCopy(db: MultiDatabase, sessionId: SessionId): Promise<boolean> {
  const session = await read(db, sessionById(sessionId, undefined));
  return Boolean(session?.sharedFrom);
}
