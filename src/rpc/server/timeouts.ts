/** The milliseconds of each unit of `grpc-timeout` (gRPC over HTTP/2, "Requests"). */
const unitsInMs: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1_000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
};

/**
 * The longest timeout, in milliseconds: 24.8 days. grpc-js and the timers of Node.js keep milliseconds in a signed
 * number of 32 bits, so with a longer one, a call would end at once, or at any other time.
 */
const longest = 2 ** 31 - 1;

/** The largest number in a `grpc-timeout`, which has at most eight digits. */
const largestCount = 99_999_999;

/**
 * A wait that is a smaller part of the timeout than this is not taken off. Node.js keeps a list of timers for each number
 * of milliseconds, so calls with the same timeout should keep it.
 */
const negligible = 1 / 100;

/**
 * What is left of the timeout of a call that has waited.
 *
 * @param timeout the value of `grpc-timeout`.
 * @param waited since the call arrived, in milliseconds: it is not known here when it was sent.
 * @returns the value for gRPC. A malformed value becomes one that grpc-js refuses: grpc-js itself accepts any text that
 * contains digits and a unit (`-2S`, `1.2S`, `2S,4S`).
 */
export function timeoutLeft(timeout: string, waited: number): string {
  const [, count, unit] = /^(\d{1,8})([HMSmun])$/.exec(timeout) ?? [];
  if (count === undefined || unit === undefined) return 'malformed';
  const given = Number(count) * (unitsInMs[unit] ?? 0);
  if (given <= longest && waited < given * negligible) return timeout;
  const left = Math.max(0, Math.round(Math.min(given, longest) - waited));
  return left <= largestCount ? `${left}m` : `${Math.floor(left / 1_000)}S`;
}
