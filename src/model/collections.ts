/** Groups items by a key, in the order of the first of each group. */
export function groupBy<Item, Key>(
  items: Iterable<Item>,
  keyOf: (item: Item) => Key,
): Map<Key, Item[]> {
  const groups = new Map<Key, Item[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group) group.push(item);
    else groups.set(key, [item]);
  }
  return groups;
}

/** Cuts items into slices of a size; the last one may be shorter. */
export function* slicesOf<Item>(items: readonly Item[], size: number): Generator<Item[], void> {
  for (let done = 0; done < items.length; done += size) yield items.slice(done, done + size);
}
