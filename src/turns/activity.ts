/** How long an owner is active after it was seen, in milliseconds. */
const activeTime = 1_000;

/** When an owner was last seen. */
interface Sight<Owner> {
  readonly owner: Owner;
  readonly at: number;
}

/** Tells whether several owners are active at the same time. Any two will do, so it keeps no more. */
export class Activity<Owner> {
  private latest: Sight<Owner> | undefined;
  /** The latest of another owner than that. */
  private other: Sight<Owner> | undefined;

  /** @param now the time, in milliseconds from any moment. */
  constructor(private readonly now: () => number = () => performance.now()) {}

  /** An owner was seen. */
  note(owner: Owner): void {
    if (this.latest?.owner !== owner) this.other = this.latest;
    this.latest = { owner, at: this.now() };
  }

  /** Whether another owner was seen within the last second. */
  hasOthers(owner: Owner): boolean {
    const seen = this.latest?.owner === owner ? this.other : this.latest;
    return seen !== undefined && this.now() - seen.at < activeTime;
  }
}
