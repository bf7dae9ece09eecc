/** The pauses after failures, in milliseconds: the first one, the longest one, and the longest that others may ask for. */
const pauses = { first: 1_000, longest: 60_000, asked: 3_600_000 };

/**
 * How long to wait before the next try, in milliseconds. The pauses double, and have jitter.
 *
 * @param failures how many tries have failed in turn, from 1 on.
 * @param asked the pause that the other side asks for, which is kept up to an hour; undefined: it asks for none.
 */
export function pauseAfter(failures: number, asked = 0, random = Math.random()): number {
  const longest = Math.min(pauses.first * 2 ** (failures - 1), pauses.longest);
  return Math.max(longest * (0.5 + random / 2), Math.min(asked, pauses.asked));
}

/**
 * The pause that a `Retry-After` header asks for, in milliseconds: a number of seconds, or a time (RFC 9110, section
 * 10.2.3). Undefined: it asks for none.
 */
export function retryAfterOf(header: string | null, now = Date.now()): number | undefined {
  if (header === null) return undefined;
  if (/^\d+$/.test(header)) return Number(header) * 1_000;
  const time = Date.parse(header);
  return Number.isNaN(time) ? undefined : Math.max(time - now, 0);
}
