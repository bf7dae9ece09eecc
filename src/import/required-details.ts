import type { Query } from '../db/query';
import type { AcceptanceRules } from '../model/acceptance';
import type { SessionId } from '../model/ids';
import { must } from '../model/must';
import type { KindSchema } from '../model/relations';
import { detailNames, shares, type DetailName } from '../model/scope';
import { sessionsWithDetails } from '../store/sessions/filled-details';
import type { SourcePart } from './source-parts';

/** What a call copies, with the rules that it must meet. */
export interface RuledPart {
  readonly part: SourcePart;
  readonly rules: AcceptanceRules;
}

/** The sessions that have details, by the name of the details. Read only where a rule requires them. */
export type FilledDetails = ReadonlyMap<DetailName, ReadonlySet<SessionId>>;

/** Details that rules require, and the sessions that must have them. */
interface RequiredDetails {
  readonly name: DetailName;
  readonly ids: readonly SessionId[];
}

/** The details that rules require, as far as they are shared. Nearly always there are none. */
export function requiredDetails(parts: readonly RuledPart[]): readonly RequiredDetails[] {
  return detailNames.flatMap((name) => {
    const requiring = parts.filter(
      ({ part, rules }) => rules.relations.includes(name) && shares(part.scope, name),
    );
    const ids = [...new Set(requiring.map(({ part }) => part.id))];
    return ids.length > 0 ? [{ name, ids }] : [];
  });
}

/** Finds the sessions that have the details. */
export function detailsOf(
  schema: KindSchema,
  required: readonly RequiredDetails[],
): Query<ReadonlySet<SessionId>>[] {
  return required.map(({ name, ids }) => sessionsWithDetails(schema, name, ids));
}

/** Puts together what {@link detailsOf} has found. */
export function filledDetails(
  required: readonly RequiredDetails[],
  found: readonly ReadonlySet<SessionId>[],
): FilledDetails {
  return new Map(
    required.map(({ name }, index) => [name, must(found[index], 'what was read of details')]),
  );
}
