import type { ApplicationId } from '../../model/ids';
import { ServiceError } from '../../model/problems';

/** The most open streams of events in this process: of one application, and of all. */
const most = { ofOne: 100, inAll: 1_000 };

/**
 * The open streams of events. An application may open another one while it has fewer streams than there are places left
 * (and fewer than 100). So a few applications can't take all places: the fewer are left, the fewer may each of them have.
 */
export class Watches {
  private readonly open = new Map<ApplicationId, number>();
  private all = 0;

  /** How many streams are open. */
  get count(): number {
    return this.all;
  }

  /**
   * Counts a stream as open.
   *
   * @returns ends that.
   * @throws ServiceError with TOO_MANY_WATCHES
   */
  enter(applicationId: ApplicationId): () => void {
    const own = this.open.get(applicationId) ?? 0;
    const limit = Math.min(most.ofOne, most.inAll - this.all);
    if (own >= limit) throw new ServiceError({ reason: 'TOO_MANY_WATCHES', limit: own });
    this.open.set(applicationId, own + 1);
    this.all += 1;
    return () => {
      this.all -= 1;
      const left = (this.open.get(applicationId) ?? 1) - 1;
      if (left === 0) this.open.delete(applicationId);
      else this.open.set(applicationId, left);
    };
  }
}
