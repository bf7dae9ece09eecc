/** A hold: as long as it lasts, a session is not erased, whoever asks for it. */
export interface Hold {
  /** When it ends by itself; null: when it is taken back. */
  readonly until: Date | null;
  /** Where the reason is kept: a code, as in {@link isCode} of grounds. Null: not said. */
  readonly reference: string | null;
}

/** How long a session is kept. */
export interface Retention {
  /** After this time, the job that prunes erases the session; null: nobody has set a time. */
  readonly eraseAfter: Date | null;
  /** Null: nobody holds the session. */
  readonly hold: Hold | null;
}

/** How many of something wait, and since when the first has waited; null: none waits. */
export interface WaitingCount {
  readonly waiting: number;
  readonly oldest: Date | null;
}

/** Of a session for which nothing was set. */
export const noRetention: Retention = { eraseAfter: null, hold: null };

/** Whether a hold keeps a session from being erased at a moment. */
export function isHeld({ hold }: Retention, at: Date): boolean {
  return hold !== null && (hold.until === null || hold.until > at);
}

/** Whether a session's `eraseAfter` has come at a moment. */
export function isOver({ eraseAfter }: Retention, at: Date): boolean {
  return eraseAfter !== null && eraseAfter <= at;
}
