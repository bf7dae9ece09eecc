/** A moment as share tokens count it: in whole seconds. (RFC 7519, section 2, allows fractions; few expect them.) */
export function wholeSeconds(at: Date): Date {
  return new Date(Math.floor(at.getTime() / 1_000) * 1_000);
}
