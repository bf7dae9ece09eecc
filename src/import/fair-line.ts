/**
 * A line in which everybody has a turn: the items of one owner stay in their order, but owners take
 * turns, however many items each of them has.
 */
export class FairLine<Owner, Item> {
  /** In the order in which the owners have their turns. An owner without items has none. */
  private readonly items = new Map<Owner, Item[]>();
  private count = 0;

  get length(): number {
    return this.count;
  }

  /** Adds an item behind all others of its owner; a new owner has its first turn after all others. */
  append(owner: Owner, item: Item): void {
    this.of(owner).push(item);
    this.count++;
  }

  /** Whose turn it is: the item that {@link shift} would take. */
  peek(): Item | undefined {
    for (const [first] of this.items.values()) return first;
    return undefined;
  }

  /** Takes the first item of the owner whose turn it is, who then waits until all others had theirs. */
  shift(): Item | undefined {
    for (const [owner, items] of this.items) {
      const item = items.shift();
      this.items.delete(owner);
      if (items.length > 0) this.items.set(owner, items);
      this.count--;
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

  /**
   * Takes the last item of the owner who has most, if that is at least two more than the given owner
   * has.
   */
  popFromLongest(than: Owner): Item | undefined {
    const fairShare = (this.items.get(than)?.length ?? 0) + 2;
    let longest: { readonly owner: Owner; readonly items: Item[] } | undefined;
    for (const [owner, items] of this.items) {
      if (items.length >= (longest ? longest.items.length + 1 : fairShare))
        longest = { owner, items };
    }
    return longest && this.takeOut(longest.owner, longest.items, longest.items.length - 1);
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
