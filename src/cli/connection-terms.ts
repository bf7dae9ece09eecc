import { Command, Option } from '@commander-js/extra-typings';
import type { ConnectionTerms } from '../model/connection';
import { certificationViolation, termsViolations } from '../model/connection-terms';
import { maxReference } from '../model/grounds';
import type { ApplicationId } from '../model/ids';
import { wholeSeconds } from '../model/moments';
import { sessionKinds, type SessionKind } from '../model/session';
import { maxLifetime, minLifetime } from '../model/share-lifetime';
import { codeArgument, idArgument, momentArgument, wholeNumberArgument } from './arguments';
import { relationsArgument } from './relations';

/** The options of the command line about the terms of a connection. */
interface TermsOptions {
  readonly kind: readonly SessionKind[];
  readonly linkedSessions?: true | undefined;
  readonly trustReview?: true | undefined;
  readonly longestTtl?: number | undefined;
  readonly relations?: readonly string[] | undefined;
  readonly groundsRequired?: true | undefined;
  readonly agreement?: string | undefined;
  readonly certifiedUntil?: Date | undefined;
}

/** A command with options for the two sides of a connection and for its terms. */
export function commandWithTerms(name: string) {
  return new Command(name)
    .requiredOption('--source <id>', 'the application that shares', idArgument<ApplicationId>)
    .requiredOption('--recipient <id>', 'the application that imports', idArgument<ApplicationId>)
    .addOption(
      new Option('--kind <kind...>', 'the kinds of sessions that may be shared')
        .choices(sessionKinds)
        .makeOptionMandatory(),
    )
    .option(
      '--linked-sessions',
      'the sessions of key people may be shared with business sessions; needs both kinds',
    )
    .option('--trust-review', "imports may trust the source's decision")
    .option(
      '--longest-ttl <seconds>',
      'the longest time for which a share token may be valid (default: 24 hours)',
      wholeNumberArgument(minLifetime, maxLifetime),
    )
    .option(
      '--relations <names>',
      'the only relations that may be shared, with commas between them (default: all)',
      relationsArgument,
    )
    .option('--grounds-required', 'each share must say its grounds')
    .option(
      '--agreement <code>',
      'where the agreement is kept: a code, which both applications see',
      codeArgument(maxReference),
    )
    .option(
      '--certified-until <time>',
      'when the certification ends (default: never)',
      momentArgument,
    );
}

/** The options of the terms that are checked together, and so can be wrong although each is well-formed. */
const optionOf: Readonly<Record<string, string>> = {
  session_kinds: '--kind',
  linked_sessions: '--linked-sessions',
  relations: '--relations',
  certified_until: '--certified-until',
};

/**
 * The terms that the options give.
 *
 * @throws Error that names all options that are wrong.
 */
export function termsOfOptions(options: TermsOptions): ConnectionTerms {
  const { longestTtl, relations, agreement, certifiedUntil } = options;
  const terms: ConnectionTerms = {
    kinds: options.kind,
    linkedSessions: options.linkedSessions ?? false,
    trustReview: options.trustReview ?? false,
    longestTtl: longestTtl ?? null,
    relations: relations ?? null,
    groundsRequired: options.groundsRequired ?? false,
    agreement: agreement ?? null,
    certifiedUntil: certifiedUntil ? wholeSeconds(certifiedUntil) : null,
  };
  const over = certificationViolation(terms.certifiedUntil, new Date());
  const violations = [...termsViolations(terms), ...(over ? [over] : [])];
  if (violations.length === 0) return terms;
  const named = Object.fromEntries(
    relations?.map((name, index) => [`relations[${index}]`, `--relations: ${name}`]) ?? [],
  );
  const wrong = violations.map(
    ({ field, description }) => `${optionOf[field] ?? named[field] ?? field} ${description}`,
  );
  throw new Error(wrong.join('; '));
}
