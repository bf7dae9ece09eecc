import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import type { Grounds, GroundsKind } from '../model/grounds';

/** The options of the command line about grounds. */
interface GroundsOptions {
  readonly grounds?: GroundsKind | undefined;
  readonly purpose?: string | undefined;
  readonly reference?: string | undefined;
  readonly obtainedAt?: Date | undefined;
  /** The file with the evidence. */
  readonly evidence?: string | undefined;
}

/**
 * The grounds that the options give; null: none.
 *
 * @throws Error if their kind is missing, if they were obtained in the future or before 1970, or if the file with the
 * evidence can't be read.
 */
export async function groundsOfOptions(options: GroundsOptions): Promise<Grounds | null> {
  const { grounds: kind, purpose, reference, obtainedAt, evidence } = options;
  if (kind === undefined) {
    if ([purpose, reference, obtainedAt, evidence].every((value) => value === undefined))
      return null;
    throw new Error('--purpose, --reference, --obtained-at and --evidence need --grounds');
  }
  if (obtainedAt && (obtainedAt.getTime() < 0 || obtainedAt > new Date())) {
    throw new Error('--obtained-at must not be in the future or before 1970');
  }
  return {
    kind,
    purpose: purpose ?? null,
    reference: reference ?? null,
    obtainedAt: obtainedAt ?? null,
    evidence: evidence === undefined ? null : await digestOf(evidence),
  };
}

async function digestOf(file: string): Promise<Buffer> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest();
}
