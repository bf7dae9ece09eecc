import { z } from 'zod';
import { scopeFaults } from '../model/scope';
import type { SessionKind } from '../model/session';

/** More names than anybody needs, and so few that checking them does not hold up other calls. */
const mostNames = 100;

const fault = 'claim relations must be a list of names';

/**
 * Reads the claim `relations`: what is shared of the session. An empty list is refused, because it does not say
 * whether all is meant or nothing.
 */
export const scopeSchema = z
  .array(z.string(fault), fault)
  .min(1, 'claim relations is empty: leave it out to share all of them')
  .max(mostNames, `claim relations has more than ${mostNames} names`);

/** What is wrong with the claim of a token; undefined: nothing. */
export function faultOfScope(
  names: readonly string[],
  kind: SessionKind,
  linkedSessions: boolean,
): string | undefined {
  const [first] = scopeFaults(names, kind, linkedSessions);
  if (!first) return undefined;
  const { index, description } = first;
  return `claim relations${index === undefined ? '' : `[${index}]`} ${description}`;
}
