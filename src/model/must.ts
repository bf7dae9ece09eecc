/** Something that can't happen has happened: a defect of this service, and not of its caller. */
export class AssertionFailure extends Error {
  override readonly name = 'AssertionFailure';
}

/**
 * A value that has to be there. A default in its place would hide that it is missing.
 *
 * @param what what is missing if it is not there, for whoever reads the log.
 * @throws AssertionFailure
 */
export function must<T>(value: T | null | undefined, what: string): T {
  if (value === null || value === undefined) throw new AssertionFailure(`${what} is missing`);
  return value;
}

/**
 * Requires that something holds that can't be otherwise.
 *
 * @throws AssertionFailure with the message.
 */
export function mustHold(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionFailure(message);
}
