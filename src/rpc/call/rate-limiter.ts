import type { TokenBucket } from 'limiter';
import { LRUCache } from 'lru-cache';
import type { ApplicationId } from '../../model/ids';
import { ServiceError } from '../../model/problems';
import type { Rate } from '../../model/rate';
import { fullBucket } from '../../turns/token-bucket';

/** How many buckets are kept. A dropped application was quiet, and starts with a full bucket. */
const bucketsKept = 10_000;

/** A token bucket for each application: the calls of one do not count for another. */
export class RateLimiter {
  private readonly buckets = new LRUCache<ApplicationId, TokenBucket>({ max: bucketsKept });

  /** @param limit undefined: nothing is limited. */
  constructor(private readonly limit: Rate | undefined) {}

  /**
   * Takes a token for a call of an application.
   *
   * @throws ServiceError with RATE_LIMITED if there is none; it says when there will be one.
   */
  take(applicationId: ApplicationId): void {
    if (!this.limit) return;
    let bucket = this.buckets.get(applicationId);
    if (!bucket) {
      bucket = fullBucket(this.limit);
      this.buckets.set(applicationId, bucket);
    }
    if (!bucket.tryRemoveTokens(1)) {
      throw new ServiceError({ reason: 'RATE_LIMITED', retryAfter: bucket.getWaitTime(1) });
    }
  }
}
