/** The value in the middle; of an even number of values, the higher one of the two. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** The least value that is not exceeded by the given share of all values. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}
