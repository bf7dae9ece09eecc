import type { ApplicationId } from '../model/ids';

/** How long a call counts for {@link CallerMix}, in milliseconds. */
export const mixedFor = 1_000;

/**
 * Tells whether several applications call now. The newest call, and the last one before it of another application, are
 * enough for that.
 */
export class CallerMix {
  /** The application of the newest call. */
  private newest: ApplicationId | undefined;
  private newestAt = Number.NEGATIVE_INFINITY;
  /** When an application other than that has called last. */
  private otherAt = Number.NEGATIVE_INFINITY;
  /** When calls of different applications came one after the other. */
  private mixedAt = Number.NEGATIVE_INFINITY;

  /** @param now the time, in milliseconds from any moment. */
  constructor(private readonly now: () => number = () => performance.now()) {}

  /** Whether calls of different applications came one after the other not long ago. */
  get isMixed(): boolean {
    return this.now() - this.mixedAt < mixedFor;
  }

  /** Whether an application other than this one has called not long ago. */
  hasOthers(applicationId: ApplicationId): boolean {
    const at = applicationId === this.newest ? this.otherAt : this.newestAt;
    return this.now() - at < mixedFor;
  }

  /** An application has called. */
  add(applicationId: ApplicationId): void {
    const now = this.now();
    if (this.newest !== undefined && applicationId !== this.newest) {
      this.otherAt = this.newestAt;
      this.mixedAt = now;
    }
    this.newest = applicationId;
    this.newestAt = now;
  }
}
