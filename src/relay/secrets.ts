import { Webhook } from 'standardwebhooks';

/** The most secrets at the same time: the old one and the new one. */
const mostSecrets = 2;

/** How long a secret may be, in bytes (Standard Webhooks, "Signature scheme"). */
const secretBytes = { least: 24, most: 64 };

/** What webhooks are signed with. */
export class SigningSecrets {
  private constructor(
    /** The text that they were read from. */
    readonly text: string,
    private readonly signers: readonly Webhook[],
  ) {}

  /** How many there are. */
  get count(): number {
    return this.signers.length;
  }

  /**
   * Reads secrets of the form `whsec_…`, one in each line.
   *
   * @throws Error that says which line is wrong, and does not quote it.
   */
  static parse(text: string): SigningSecrets {
    const lines = text.split('\n').map((line) => line.trim());
    const signers = lines.flatMap((line, index) => {
      if (line === '') return [];
      if (isSecret(line)) return [new Webhook(line)];
      throw new Error(
        `line ${index + 1} is no secret: it must be whsec_ and ${secretBytes.least} to ${secretBytes.most} bytes in base64`,
      );
    });
    if (signers.length === 0) throw new Error('it has no secret');
    if (signers.length > mostSecrets) {
      throw new Error(`it has over ${mostSecrets} secrets: keep the old one and the new one`);
    }
    return new SigningSecrets(text, signers);
  }

  /** The value of `webhook-signature`: a signature by each secret. @param at the time in `webhook-timestamp`. */
  sign(id: string, at: Date, body: string): string {
    return this.signers.map((signer) => signer.sign(id, at, body)).join(' ');
  }
}

/** The library takes any text for a secret. */
function isSecret(text: string): boolean {
  const [, encoded] = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(text) ?? [];
  if (encoded === undefined || encoded.length % 4 !== 0) return false;
  const { length } = Buffer.from(encoded, 'base64');
  return length >= secretBytes.least && length <= secretBytes.most;
}
