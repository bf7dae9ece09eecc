import { createHmac } from 'node:crypto';

/** The most secrets at the same time: the old one and the new one. */
const mostSecrets = 2;

/** How long a secret may be, in bytes (Standard Webhooks, "Signature scheme"). */
const secretBytes = { least: 24, most: 64 };

/** What webhooks are signed with. */
export class SigningSecrets {
  private constructor(
    /** The text that they were read from. */
    readonly text: string,
    private readonly keys: readonly Buffer[],
  ) {}

  /** How many there are. */
  get count(): number {
    return this.keys.length;
  }

  /**
   * Reads secrets of the form `whsec_…`, one in each line.
   *
   * @throws Error that says which line is wrong, and does not quote it.
   */
  static parse(text: string): SigningSecrets {
    const lines = text.split('\n').map((line) => line.trim());
    const keys = lines.flatMap((line, index) => {
      if (line === '') return [];
      const key = keyOf(line);
      if (key) return [key];
      throw new Error(
        `line ${index + 1} is no secret: it must be whsec_ and ${secretBytes.least} to ${secretBytes.most} bytes in base64`,
      );
    });
    if (keys.length === 0) throw new Error('it has no secret');
    if (keys.length > mostSecrets) {
      throw new Error(`it has over ${mostSecrets} secrets: keep the old one and the new one`);
    }
    return new SigningSecrets(text, keys);
  }

  /**
   * The value of `webhook-signature`: a signature by each secret.
   *
   * @param timestamp the value of `webhook-timestamp`.
   */
  sign(id: string, timestamp: string, body: string): string {
    const signatures = this.keys.map((key) =>
      createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64'),
    );
    return signatures.map((signature) => `v1,${signature}`).join(' ');
  }
}

/** The key of a secret; undefined: it is none. */
function keyOf(secret: string): Buffer | undefined {
  const [, encoded] = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(secret) ?? [];
  if (encoded === undefined || encoded.length % 4 !== 0) return undefined;
  const key = Buffer.from(encoded, 'base64');
  return key.length >= secretBytes.least && key.length <= secretBytes.most ? key : undefined;
}
