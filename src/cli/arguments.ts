import { InvalidArgumentError } from 'commander';
import { z } from 'zod';
import { listenAddress } from '../config/variables';
import { codeRule, isCode } from '../model/grounds';
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

/** Reads a code given on the command line: a purpose or a reference of grounds. */
export function codeArgument(longest: number): (text: string) => string {
  return (text) => {
    if (isCode(text, longest)) return text;
    throw new InvalidArgumentError(`It must consist of ${codeRule(longest)}.`);
  };
}

const time = z.union([z.iso.date(), z.iso.datetime({ offset: true })]);

/** Reads a moment given on the command line: a day stands for its first moment, in UTC. */
export function momentArgument(text: string): Date {
  const parsed = time.safeParse(text);
  if (parsed.success) return new Date(parsed.data);
  throw new InvalidArgumentError(
    'It must be a day or a time with its zone, such as 2026-01-31 or 2026-01-31T12:00:00Z.',
  );
}

/** Reads an address to listen on, given on the command line. */
export function addressArgument(text: string): string {
  const parsed = listenAddress.safeParse(text);
  if (parsed.success) return parsed.data;
  throw new InvalidArgumentError('It must be host:port; port 0 takes a free one.');
}
