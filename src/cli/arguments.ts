import { InvalidArgumentError } from 'commander';
import { isUuid, toId, type Id } from '../model/ids';

/** Reads an id given on the command line. */
export function idArgument<T extends Id<string>>(text: string): T {
  if (!isUuid(text)) throw new InvalidArgumentError('It must be a UUID.');
  return toId<T>(text);
}

/** Reads a name given on the command line. */
export function nameArgument(text: string): string {
  const name = text.trim();
  if (name === '' || name.length > 255) {
    throw new InvalidArgumentError('It must have 1 to 255 characters.');
  }
  return name;
}

/** Reads a whole number given on the command line. */
export function wholeNumberArgument(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < least || value > most) {
      throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`);
    }
    return value;
  };
}
