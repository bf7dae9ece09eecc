import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import type { Grounds, GroundsKind } from '../model/grounds';

/** What the command line says of grounds. */
interface GroundsOptions {
  readonly grounds?: GroundsKind | undefined;
  readonly purpose?: string | undefined;
  readonly reference?: string | undefined;
  readonly obtainedAt?: Date | undefined;
  /** The file with the evidence. */
  readonly evidence?: string | undefined;
}

/**
 * The grounds that the options say; null: none.
 *
 * @throws Error if something is said of grounds without their kind, if they were obtained in the future or before
 * 1970, or if the evidence can't be read.
 */
export async function groundsOfOptions(options: GroundsOptions): Promise<Grounds | null> {
  const { grounds: kind, purpose, reference, obtainedAt, evidence } = options;
  if (kind === undefined) {
    if ([purpose, reference, obtainedAt, evidence].every((value) => value === undefined))
      return null;
    throw new Error('--purpose, --reference, --obtained-at and --evidence need --grounds');
  }
  if (obtainedAt && (obtainedAt.getTime() < 0 || obtainedAt > new Date())) {
    throw new Error('--obtained-at must not be in the future, nor before 1970');
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
