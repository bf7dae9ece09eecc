import type { ApplicationId } from '../model/ids';

/** How long the calls of different applications count as mixed after they came one after the other, in milliseconds. */
export const mixedFor = 1_000;

/** Tells whether several applications call now. */
export class CallerMix {
  /** The application of the newest call. */
  private newest: ApplicationId | undefined;
  /** When calls of different applications came one after the other, by `performance.now()`. */
  private mixedAt = Number.NEGATIVE_INFINITY;

  /** Whether calls of different applications came one after the other not long ago. */
  get isMixed(): boolean {
    return performance.now() - this.mixedAt < mixedFor;
  }

  /** An application has called. */
  add(applicationId: ApplicationId): void {
    this.newest ??= applicationId;
    if (applicationId !== this.newest) this.mixedAt = performance.now();
    this.newest = applicationId;
  }
}
