import { ServiceError } from '../model/problems';

/**
 * A fair queue. Owners take turns, however many items each of them has. The items of one owner stay
 * in their order.
 */
export class FairLine<Owner, Item> {
  /** In the order in which the owners have their turns. An owner without items has none. */
  private readonly items = new Map<Owner, Item[]>();
  private count = 0;

  get length(): number {
    return this.count;
  }

  /** How many owners have items. */
  get owners(): number {
    return this.items.size;
  }

  /** Adds an item behind all others of its owner; a new owner has its first turn after all others. */
  append(owner: Owner, item: Item): void {
    this.of(owner).push(item);
    this.count++;
  }

  /** Adds an item before all others of its owner. The owner gets the next turn. */
  prepend(owner: Owner, item: Item): void {
    const items = this.items.get(owner) ?? [];
    const others = [...this.items].filter(([other]) => other !== owner);
    this.items.clear();
    this.items.set(owner, [item, ...items]);
    for (const [other, theirs] of others) this.items.set(other, theirs);
    this.count++;
  }

  /** Whose turn it is: the item that {@link shift} would take. */
  peek(): Item | undefined {
    for (const [first] of this.items.values()) return first;
    return undefined;
  }

  /**
   * Takes the first item of the owner whose turn it is. All other owners come before its next turn.
   *
   * @param may whether an owner may have its turn now. One that may not keeps its place in the line.
   */
  shift(may: (owner: Owner) => boolean = () => true): Item | undefined {
    for (const [owner, items] of this.items) {
      if (!may(owner)) continue;
      const item = items.shift();
      this.items.delete(owner);
      if (items.length > 0) this.items.set(owner, items);
      this.count--;
      return item;
    }
    return undefined;
  }

  /**
   * Takes the first item that fits, of the first owner in turn who has one. All other owners come before
   * its next turn.
   */
  take(fits: (item: Item) => boolean): Item | undefined {
    for (const [owner, items] of this.items) {
      const index = items.findIndex(fits);
      if (index === -1) continue;
      const item = this.takeOut(owner, items, index);
      if (this.items.delete(owner)) this.items.set(owner, items);
      return item;
    }
    return undefined;
  }

  /** @returns whether the item was in the line. */
  remove(owner: Owner, item: Item): boolean {
    const items = this.items.get(owner) ?? [];
    const index = items.indexOf(item);
    if (index === -1) return false;
    this.takeOut(owner, items, index);
    return true;
  }

  /** Takes the newest item of an owner. */
  pop(owner: Owner): Item | undefined {
    const items = this.items.get(owner) ?? [];
    return items.length === 0 ? undefined : this.takeOut(owner, items, items.length - 1);
  }

  /** The items of an owner, from its oldest on. */
  itemsOf(owner: Owner): readonly Item[] {
    return this.items.get(owner) ?? [];
  }

  /** How many items each owner has. */
  *lengths(): IterableIterator<readonly [Owner, number]> {
    for (const [owner, items] of this.items) yield [owner, items.length];
  }

  private of(owner: Owner): Item[] {
    const items = this.items.get(owner) ?? [];
    this.items.set(owner, items);
    return items;
  }

  private takeOut(owner: Owner, items: Item[], index: number): Item | undefined {
    const [item] = items.splice(index, 1);
    if (items.length === 0) this.items.delete(owner);
    this.count--;
    return item;
  }
}

/**
 * Makes room in the lines for one more item of an owner. If they are full, an item of another
 * owner is removed: of the one that has the most items in all lines together, if it has at least two more
 * than the given owner. This is its newest item in the first line where it has any.
 *
 * @param limit how many items all lines together may have.
 * @param refuse is called with the removed item.
 * @returns false if there is no room, and no item can be removed.
 */
export function makeRoom<Owner, Item>(
  lines: readonly FairLine<Owner, Item>[],
  limit: number,
  owner: Owner,
  refuse: (item: Item) => void,
): boolean {
  if (lines.reduce((sum, { length }) => sum + length, 0) < limit) return true;
  const item = newestOfTheLargest(lines, owner);
  if (item === undefined) return false;
  refuse(item);
  return true;
}

/**
 * Does what {@link makeRoom} does.
 *
 * @param refuse is called with the removed item, and the error for it.
 * @throws ServiceError with OVERLOADED if there is no room.
 */
export function requireRoom<Owner, Item>(
  lines: readonly FairLine<Owner, Item>[],
  limit: number,
  owner: Owner,
  refuse: (item: Item, error: ServiceError) => void,
): void {
  const hasRoom = makeRoom(lines, limit, owner, (item) => {
    refuse(item, new ServiceError({ reason: 'OVERLOADED' }));
  });
  if (!hasRoom) throw new ServiceError({ reason: 'OVERLOADED' });
}

/** @returns the item that was removed from its line; undefined: there is none. */
function newestOfTheLargest<Owner, Item>(
  lines: readonly FairLine<Owner, Item>[],
  owner: Owner,
): Item | undefined {
  const items = new Map<Owner, number>();
  for (const line of lines) {
    for (const [other, count] of line.lengths()) items.set(other, (items.get(other) ?? 0) + count);
  }
  let most = { owner, count: (items.get(owner) ?? 0) + 1 };
  for (const [other, count] of items) if (count > most.count) most = { owner: other, count };
  if (most.owner === owner) return undefined;
  for (const line of lines) {
    const newest = line.pop(most.owner);
    if (newest !== undefined) return newest;
  }
  return undefined;
}
