import { z } from 'zod';
import {
  GroundsKind as WireKind,
  type Grounds as WireGrounds,
} from '../gen/sessionimport/v1/session_share';
import {
  evidenceRule,
  groundsKinds,
  isEvidence,
  maxPurpose,
  maxReference,
  type Grounds,
  type GroundsKind,
} from '../model/grounds';
import { wholeSeconds } from '../model/moments';
import type { FieldViolation } from '../model/problems';
import { brokenIf, moment, optionalCode } from './call/request';

const wireKinds: Readonly<Record<GroundsKind, WireKind>> = {
  consent: WireKind.GROUNDS_KIND_CONSENT,
  contract: WireKind.GROUNDS_KIND_CONTRACT,
  legal_obligation: WireKind.GROUNDS_KIND_LEGAL_OBLIGATION,
  vital_interests: WireKind.GROUNDS_KIND_VITAL_INTERESTS,
  public_task: WireKind.GROUNDS_KIND_PUBLIC_TASK,
  legitimate_interests: WireKind.GROUNDS_KIND_LEGITIMATE_INTERESTS,
  other: WireKind.GROUNDS_KIND_OTHER,
};

/** Why sharing was lawful, as the contract writes it. */
export function wireGrounds(grounds: Grounds | null): WireGrounds | undefined {
  if (!grounds) return undefined;
  return {
    kind: wireKinds[grounds.kind],
    purpose: grounds.purpose ?? undefined,
    reference: grounds.reference ?? undefined,
    obtainedAt: grounds.obtainedAt ?? undefined,
    evidenceSha256: grounds.evidence?.toString('hex'),
  };
}

/** The fields of a request's grounds, by their names in the proto file. */
export function fieldsOfGrounds(given: WireGrounds | undefined): object | undefined {
  return (
    given && {
      kind: given.kind,
      purpose: given.purpose,
      reference: given.reference,
      obtained_at: given.obtainedAt,
      evidence_sha256: given.evidenceSha256,
    }
  );
}

const kind = z.number().transform((value, context): GroundsKind => {
  const known = groundsKinds.find((each) => (wireKinds[each] as number) === value);
  if (known) return known;
  const missing = value === (WireKind.GROUNDS_KIND_UNSPECIFIED as number);
  context.addIssue(missing ? 'is required' : 'must be a value of its enum');
  return z.NEVER;
});

const evidence = z
  .string()
  .refine(isEvidence, `must be ${evidenceRule}, when present`)
  .transform((hex) => Buffer.from(hex, 'hex'));

/** The rule for the grounds of a request, besides {@link futureGrounds}. */
export const groundsRule: z.ZodType<Grounds> = z
  .object({
    kind,
    purpose: optionalCode(maxPurpose),
    reference: optionalCode(maxReference),
    obtained_at: moment
      .min(new Date(0), 'must not be before 1970')
      .transform(wholeSeconds)
      .optional(),
    evidence_sha256: evidence.optional(),
  })
  .transform((fields) => ({
    kind: fields.kind,
    purpose: fields.purpose ?? null,
    reference: fields.reference ?? null,
    obtainedAt: fields.obtained_at ?? null,
    evidence: fields.evidence_sha256 ?? null,
  }));

/** The violation of grounds that were obtained in the future. */
export function futureGrounds(
  field: string,
  given: WireGrounds | undefined,
  now: Date,
): FieldViolation | undefined {
  const at = given?.obtainedAt;
  const future = at !== undefined && wholeSeconds(at) > now;
  return brokenIf(future, `${field}.obtained_at`, 'must not be in the future');
}
