import { InvalidArgumentError } from 'commander';
import { scopeFaults, scopeOfChoice, type Scope } from '../model/scope';
import type { SessionKind } from '../model/session';

/**
 * Reads names of relations with commas between them. Whether a session has them is checked later.
 *
 * @throws InvalidArgumentError if a name is empty.
 */
export function relationsArgument(text: string): string[] {
  const names = text.split(',').map((name) => name.trim());
  if (names.includes('')) {
    throw new InvalidArgumentError('It must be names of relations with commas between them.');
  }
  return names;
}

/**
 * What a command shares of a session; no names: everything.
 *
 * @throws Error if the choice does not fit the session.
 */
export function scopeOfNames(
  names: readonly string[],
  kind: SessionKind,
  linkedSessions: boolean,
): Scope {
  const [fault] = names.length > 0 ? scopeFaults(names, kind, linkedSessions) : [];
  if (fault) {
    const name = fault.index === undefined ? '' : ` ${names[fault.index]}`;
    throw new Error(`--relations:${name} ${fault.description}`);
  }
  return scopeOfChoice(names);
}
