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
    private readonly webhooks: readonly Webhook[],
  ) {}

  /** How many there are. */
  get count(): number {
    return this.webhooks.length;
  }

  /**
   * Reads secrets of the form `whsec_…`, one in each line.
   *
   * @throws Error that says which line is wrong, and does not quote it.
   */
  static parse(text: string): SigningSecrets {
    const lines = text.split('\n').map((line) => line.trim());
    const webhooks = lines.flatMap((line, index) => {
      if (line === '') return [];
      if (isSecret(line)) return [new Webhook(line)];
      throw new Error(
        `line ${index + 1} is no secret: it must be whsec_ and ${secretBytes.least} to ${secretBytes.most} bytes in base64`,
      );
    });
    if (webhooks.length === 0) throw new Error('it has no secret');
    if (webhooks.length > mostSecrets) {
      throw new Error(`it has over ${mostSecrets} secrets: keep the old one and the new one`);
    }
    return new SigningSecrets(text, webhooks);
  }

  /** The value of `webhook-signature`: a signature by each secret. */
  sign(id: string, timestamp: Date, body: string): string {
    return this.webhooks.map((webhook) => webhook.sign(id, timestamp, body)).join(' ');
  }
}

function isSecret(line: string): boolean {
  const [, encoded] = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(line) ?? [];
  if (encoded === undefined || encoded.length % 4 !== 0) return false;
  const bytes = Buffer.from(encoded, 'base64').length;
  return bytes >= secretBytes.least && bytes <= secretBytes.most;
}
