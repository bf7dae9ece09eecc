/**
 * Runs something while the clock of this process is wrong. Only `new Date()` and `Date.now()` are, and not timers.
 *
 * @param milliseconds how far the clock is ahead; below 0: behind.
 */
export async function withClockAhead<T>(milliseconds: number, work: () => Promise<T>): Promise<T> {
  const { Date: RightDate } = globalThis;
  globalThis.Date = new Proxy(RightDate, {
    construct: (target, args: unknown[], of: typeof RightDate) =>
      Reflect.construct(
        target,
        args.length > 0 ? args : [RightDate.now() + milliseconds],
        of,
      ) as object,
    get: (target, name) =>
      name === 'now'
        ? () => RightDate.now() + milliseconds
        : (Reflect.get(target, name) as unknown),
  });
  try {
    return await work();
  } finally {
    globalThis.Date = RightDate;
  }
}
