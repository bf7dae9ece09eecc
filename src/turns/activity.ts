/** How long an owner is active after it was seen, in milliseconds. */
const activeTime = 1_000;

/** An owner, and when it was seen. */
interface Seen<Owner> {
  readonly owner: Owner;
  readonly at: number;
}

/** Tells whether several owners are active at the same time. It keeps only the two that were seen last: that is enough. */
export class Activity<Owner> {
  private latest: Seen<Owner> | undefined;
  /** The owner that was seen last, apart from the one in `latest`. */
  private other: Seen<Owner> | undefined;

  /** @param now the time, in milliseconds from any moment. */
  constructor(private readonly now: () => number = () => performance.now()) {}

  /** An owner was seen. */
  note(owner: Owner): void {
    if (this.latest?.owner !== owner) this.other = this.latest;
    this.latest = { owner, at: this.now() };
  }

  /** Whether another owner was seen within the last second. */
  hasOthers(owner: Owner): boolean {
    const other = this.latest?.owner === owner ? this.other : this.latest;
    return other !== undefined && this.now() - other.at < activeTime;
  }
}
