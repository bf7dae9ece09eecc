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

/**
 * Shortens all intervals of this process to 30 ms at most, while the tests of a suite run. So they need not wait until a
 * file is read again.
 */
export function withShortIntervals(): void {
  const { setInterval: right } = globalThis;
  before(() => {
    const short = (callback: (...args: unknown[]) => void, delay?: number, ...args: unknown[]) =>
      right(callback, Math.min(delay ?? 0, 30), ...args);
    globalThis.setInterval = Object.assign(short, right);
  });
  after(() => {
    globalThis.setInterval = right;
  });
}
