import { TokenBucket } from 'limiter';

/** How often something may happen on average, and at once after it has not happened for long. */
export interface Rate {
  readonly perSecond: number;
  readonly burst: number;
}

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
