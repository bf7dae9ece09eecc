import { z } from 'zod';
import {
  codeRule,
  evidenceRule,
  groundsKinds,
  isCode,
  isEvidence,
  maxPurpose,
  maxReference,
  type Grounds,
} from '../model/grounds';
import { withoutNulls } from './share-token';

/** The claim `grounds` as a token has it. */
export interface GroundsClaim {
  readonly kind: Grounds['kind'];
  readonly purpose?: string;
  readonly reference?: string;
  /** A NumericDate (RFC 7519, section 2): seconds since 1970. */
  readonly obtained_at?: number;
  readonly evidence_sha256?: string;
}

/** The claim for some grounds. */
export function groundsClaim({
  kind,
  purpose,
  reference,
  obtainedAt,
  evidence,
}: Grounds): GroundsClaim {
  return {
    kind,
    ...(purpose === null ? {} : { purpose }),
    ...(reference === null ? {} : { reference }),
    ...(obtainedAt === null ? {} : { obtained_at: Math.floor(obtainedAt.getTime() / 1_000) }),
    ...(evidence === null ? {} : { evidence_sha256: evidence.toString('hex') }),
  };
}

const code = (name: string, longest: number) => {
  const fault = `claim grounds.${name} must consist of ${codeRule(longest)}`;
  return z.string(fault).refine((text) => isCode(text, longest), fault);
};

const evidence = `claim grounds.evidence_sha256 must be ${evidenceRule}`;

/** The last second that MySQL's DATETIME has: that of the year 9999. */
const lastSecond = 253_402_300_799;

const members = z.strictObject(
  {
    kind: z.enum(groundsKinds, {
      error: ({ input }) =>
        input === undefined
          ? 'claim grounds.kind is missing'
          : `claim grounds.kind must be one of ${groundsKinds.join(', ')}`,
    }),
    purpose: code('purpose', maxPurpose).optional(),
    reference: code('reference', maxReference).optional(),
    obtained_at: z
      .number('claim grounds.obtained_at must be a number of seconds')
      .min(0, 'claim grounds.obtained_at is before 1970')
      .max(lastSecond, 'claim grounds.obtained_at is after the year 9999')
      .optional(),
    evidence_sha256: z.string(evidence).refine(isEvidence, evidence).optional(),
  },
  {
    error: ({ code: fault }) =>
      fault === 'unrecognized_keys'
        ? 'claim grounds has a member other than kind, purpose, reference, obtained_at and evidence_sha256'
        : 'claim grounds must be an object',
  },
);

/**
 * Reads the claim `grounds`. Unknown claims are ignored, but unknown members of this one are refused: what was signed
 * as grounds must not be missing from the record.
 */
export const groundsSchema = z.preprocess(withoutNulls, members).transform((claim): Grounds => {
  const { obtained_at: obtainedAt } = claim;
  return {
    kind: claim.kind,
    purpose: claim.purpose ?? null,
    reference: claim.reference ?? null,
    obtainedAt: obtainedAt === undefined ? null : new Date(Math.floor(obtainedAt) * 1_000),
    evidence:
      claim.evidence_sha256 === undefined ? null : Buffer.from(claim.evidence_sha256, 'hex'),
  };
});
