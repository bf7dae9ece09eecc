import { InvalidArgumentError } from 'commander';
import { longestAge, noRules, type AcceptanceRules } from '../model/acceptance';
import { finishedStatuses, type SessionStatus } from '../model/session';

/** The units in which an age can be given, in seconds. */
const units: Readonly<Record<string, number>> = { s: 1, h: 3_600, d: 86_400 };

/** The word for no rules. */
const none = 'none';

/** How to write rules: part of a command's help. */
export const acceptanceHelp = `
Rules are separated by blanks; a session must meet all of them:
  max_age=<number>s|h|d     how old the verification may be, in seconds, hours or days
  documents_unexpired       no document has expired
  statuses=<status>,…       ${[...finishedStatuses].map(wordOf).join(', ')}
  relations=<relation>,…    relations that must have rows, such as id_verifications, and expected_details or
                            contact_details, which must not be empty
  ${none}                      no rules

Example: --acceptance "max_age=365d documents_unexpired statuses=approved"`;

/**
 * Reads rules given on the command line, such as `max_age=90d documents_unexpired`. Which relations sessions have
 * depends on their kind, so this is checked where the rules are stored.
 *
 * @throws InvalidArgumentError if they are not understood.
 */
export function acceptanceArgument(text: string): AcceptanceRules {
  const words = text.split(/\s+/).filter((word) => word !== '');
  if (words.length === 0) refuse(`It must name rules, or be ${none}.`);
  if (words.length === 1 && words[0] === none) return noRules;
  const seen = new Set<string>();
  return words.reduce<AcceptanceRules>((rules, word) => {
    const [, name = '', value] = /^([^=]*)(?:=(.*))?$/.exec(word) ?? [];
    if (seen.has(name)) refuse(`It names the rule ${name} twice.`);
    seen.add(name);
    switch (name) {
      case 'max_age':
        return { ...rules, maxAge: ageOf(value) };
      case 'documents_unexpired':
        if (value !== undefined) refuse('documents_unexpired takes no value.');
        return { ...rules, documentsUnexpired: true };
      case 'statuses':
        return { ...rules, statuses: listOf(name, value).map(statusOf) };
      case 'relations':
        return { ...rules, relations: listOf(name, value) };
      default:
        return refuse(
          `There is no rule ${word}: the rules are max_age, documents_unexpired, statuses and relations.`,
        );
    }
  }, noRules);
}

/** The rules as they would be given on the command line. */
export function wordsOf({
  maxAge,
  documentsUnexpired,
  statuses,
  relations,
}: AcceptanceRules): string {
  const words = [
    ...(maxAge === null ? [] : [`max_age=${maxAge}s`]),
    ...(documentsUnexpired ? ['documents_unexpired'] : []),
    ...(statuses === null ? [] : [`statuses=${statuses.map(wordOf).join()}`]),
    ...(relations.length > 0 ? [`relations=${relations.join()}`] : []),
  ];
  return words.join(' ') || none;
}

function ageOf(value = ''): number {
  const [, number = '', unit = ''] = /^(\d{1,10})([shd])$/.exec(value) ?? [];
  const age = Number(number) * (units[unit] ?? 0);
  if (age >= 1 && age <= longestAge) return age;
  return refuse('max_age must be a number with s, h or d, such as 90d, and at most 100 years.');
}

function statusOf(word: string): SessionStatus {
  const found = [...finishedStatuses].find((status) => wordOf(status) === word);
  return found ?? refuse(`${word} must be one of ${[...finishedStatuses].map(wordOf).join(', ')}.`);
}

/** A status as a word, such as `in_review`. */
function wordOf(status: SessionStatus): string {
  return status.toLowerCase().replaceAll(' ', '_');
}

function listOf(name: string, value = ''): string[] {
  const items = [...new Set(value.split(','))];
  if (items.includes('')) refuse(`${name} must have values, separated by commas.`);
  return items;
}

function refuse(message: string): never {
  throw new InvalidArgumentError(message);
}
