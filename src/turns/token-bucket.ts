import { TokenBucket } from 'limiter';

/** How often something may happen. */
export interface Rate {
  /** On average. */
  readonly perSecond: number;
  /** At once, after a pause. */
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
