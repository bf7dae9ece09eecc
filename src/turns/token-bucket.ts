import { TokenBucket } from 'limiter';
import type { Rate } from '../model/rate';

/** A token bucket that is full. */
export function fullBucket({ perSecond, burst }: Rate): TokenBucket {
  const bucket = new TokenBucket({
    bucketSize: burst,
    tokensPerInterval: perSecond,
    interval: 'second',
  });
  bucket.content = burst;
  return bucket;
}
