/** The kinds of legal bases: those of GDPR, article 6 (1), in its order, and one for other laws. */
export const groundsKinds = [
  'consent',
  'contract',
  'legal_obligation',
  'vital_interests',
  'public_task',
  'legitimate_interests',
  'other',
] as const;

export type GroundsKind = (typeof groundsKinds)[number];

/** Why sharing a session is lawful, according to the application that shares it. The service does not judge it. */
export interface Grounds {
  readonly kind: GroundsKind;
  /** What the session is shared for: a code. Null, here and below: not said. */
  readonly purpose: string | null;
  /** Where the application keeps the details. */
  readonly reference: string | null;
  /** When the grounds were obtained, in whole seconds. */
  readonly obtainedAt: Date | null;
  /** SHA-256 of the evidence, 32 bytes. */
  readonly evidence: Buffer | null;
}

/** The most characters that a purpose and a reference may have: also those of an agreement and of a hold. */
export const maxPurpose = 64;
export const maxReference = 128;

/**
 * Purposes and references have only these characters. There are no blanks and no `@`, so that nobody writes
 * sentences or e-mail addresses into what is kept for ever.
 */
const code = /^[A-Za-z0-9][A-Za-z0-9._:/-]*$/;

/** What a code consists of: part of an error message. */
export const codeRule = (longest: number): string =>
  `1 to ${longest} ASCII letters, digits, ".", "_", ":", "/" and "-", and begin with a letter or digit`;

/** Whether a text may be a purpose or a reference of so many characters at most. */
export function isCode(text: string, longest: number): boolean {
  return text.length <= longest && code.test(text);
}

/** What the digest of the evidence must be: part of an error message. */
export const evidenceRule = 'a SHA-256, in 64 hexadecimal digits';

/** Whether a text is a SHA-256 in hexadecimal digits, of either case. */
export function isEvidence(text: string): boolean {
  return /^[0-9a-f]{64}$/i.test(text);
}
