import { FairLine } from './fair-line';

/** Who an item is of: owners are in groups. */
export interface Place<Group, Owner> {
  readonly group: Group;
  readonly owner: Owner;
}

/**
 * A fair queue of two levels: groups take turns, and in each group its owners do. So a group gets no more turns by
 * having more owners.
 */
export class FairLines<Group, Owner, Item> {
  /** In the order in which the groups have their turns. A group without items has none. */
  private readonly lines = new Map<Group, FairLine<Owner, Item>>();
  private count = 0;

  get length(): number {
    return this.count;
  }

  /** How many groups have items. */
  get groups(): number {
    return this.lines.size;
  }

  /** How many owners have items. */
  get owners(): number {
    let owners = 0;
    for (const line of this.lines.values()) owners += line.owners;
    return owners;
  }

  /** Adds an item behind all others of its owner. */
  append({ group, owner }: Place<Group, Owner>, item: Item): void {
    const line = this.lines.get(group) ?? new FairLine<Owner, Item>();
    this.lines.set(group, line);
    line.append(owner, item);
    this.count++;
  }

  /** Takes the first item of the owner whose turn it is, in the group whose turn it is. */
  shift(): Item | undefined {
    for (const [group, line] of this.lines) {
      const item = line.shift();
      this.lines.delete(group);
      if (line.length > 0) this.lines.set(group, line);
      this.count--;
      return item;
    }
    return undefined;
  }

  /** Removes an item, if it is in the line. */
  remove({ group, owner }: Place<Group, Owner>, item: Item): void {
    const line = this.lines.get(group);
    if (line?.remove(owner, item)) this.removed(group, line);
  }

  /** How many items each owner has. */
  *lengths(): IterableIterator<readonly [Owner, number]> {
    for (const line of this.lines.values()) yield* line.lengths();
  }

  private removed(group: Group, line: FairLine<Owner, Item>): void {
    if (line.length === 0) this.lines.delete(group);
    this.count--;
  }
}
