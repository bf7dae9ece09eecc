import { z } from 'zod';
import type { ConnectionTerms as WireTerms } from '../../gen/sessionimport/v1/session_connection';
import type { ConnectionTerms } from '../../model/connection';
import { certificationViolation, termsViolations } from '../../model/connection-terms';
import { wholeSeconds } from '../../model/moments';
import type { FieldViolation } from '../../model/problems';
import { boundedList, moment, text } from '../call/request';
import { wantedKind, wireKinds } from '../wire';

/** What a connection allows, as the contract writes it. */
export function wireTerms(terms: ConnectionTerms): WireTerms {
  return {
    sessionKinds: terms.kinds.map((kind) => wireKinds[kind]),
    linkedSessions: terms.linkedSessions,
    trustReview: terms.trustReview,
    longestTtl: terms.longestTtl === null ? undefined : { seconds: terms.longestTtl, nanos: 0 },
    relations: [...(terms.relations ?? [])],
    groundsRequired: terms.groundsRequired,
    agreement: terms.agreement ?? undefined,
    certifiedUntil: terms.certifiedUntil ?? undefined,
  };
}

/** The fields of a request's terms, by their names in the proto file. */
export function fieldsOfTerms(given: WireTerms | undefined): object | undefined {
  return (
    given && {
      session_kinds: given.sessionKinds,
      linked_sessions: given.linkedSessions,
      trust_review: given.trustReview,
      longest_ttl: given.longestTtl,
      relations: given.relations,
      grounds_required: given.groundsRequired,
      agreement: given.agreement,
      certified_until: given.certifiedUntil,
    }
  );
}

const kind = z.number().transform((value, context) => {
  const known = wantedKind(value);
  if (known) return known;
  context.addIssue('must be a kind of sessions');
  return z.NEVER;
});

const fields = z.object(
  {
    session_kinds: boundedList(kind),
    linked_sessions: z.boolean(),
    trust_review: z.boolean(),
    // A fraction of a second makes it a number that `termsViolations` refuses.
    longest_ttl: z
      .object({ seconds: z.number(), nanos: z.number() })
      .transform(({ seconds, nanos }) => seconds + nanos / 1e9)
      .optional(),
    relations: boundedList(text),
    grounds_required: z.boolean(),
    agreement: text.optional(),
    certified_until: moment.transform(wholeSeconds).optional(),
  },
  'is required',
);

/** The rule for the terms of a request, besides {@link overCertification}. */
export const termsRule: z.ZodType<ConnectionTerms> = fields
  .transform((given): ConnectionTerms => ({
    kinds: given.session_kinds,
    linkedSessions: given.linked_sessions,
    trustReview: given.trust_review,
    longestTtl: given.longest_ttl ?? null,
    relations: given.relations.length > 0 ? given.relations : null,
    groundsRequired: given.grounds_required,
    agreement: given.agreement ?? null,
    certifiedUntil: given.certified_until ?? null,
  }))
  .superRefine((terms, context) => {
    for (const { field, description } of termsViolations(terms)) {
      context.addIssue({ code: 'custom', path: [field], message: description });
    }
  });

/** The violation of a certification that is over. */
export function overCertification(
  field: string,
  given: WireTerms | undefined,
  now: Date,
): FieldViolation | undefined {
  const until = given?.certifiedUntil;
  const violation = certificationViolation(until ? wholeSeconds(until) : null, now);
  return violation && { ...violation, field: `${field}.${violation.field}` };
}
