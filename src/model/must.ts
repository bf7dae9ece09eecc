/** Something that can't happen has happened: a defect of this service, and not of its caller. */
export class AssertionFailure extends Error {
  override readonly name = 'AssertionFailure';
}

/**
 * Returns a value that must exist. A default in its place would hide that it is missing.
 *
 * @param what names the value in the error message.
 * @throws AssertionFailure
 */
export function must<T>(value: T | null | undefined, what: string): T {
  if (value === null || value === undefined) throw new AssertionFailure(`${what} is missing`);
  return value;
}

/**
 * Asserts a condition that is always true unless the service has a defect.
 *
 * @throws AssertionFailure with the message.
 */
export function mustHold(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionFailure(message);
}
