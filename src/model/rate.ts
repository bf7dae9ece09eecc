/** How often something may happen. */
export interface Rate {
  /** On average. */
  readonly perSecond: number;
  /** At once, after a pause. */
  readonly burst: number;
}
