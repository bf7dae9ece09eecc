import { LastGood } from '../files/last-good';
import { readRegularFile } from '../files/regular-file';
import { newId, type ApplicationId, type SessionId } from '../model/ids';
import { ServiceError } from '../model/problems';
import type { Logger } from '../telemetry/log';
import { parsePrivateKey } from './key-files';
import type { BoundJwk } from './key-set';
import { signShareToken, type Share } from './signing';
import type { Clock, ShareTokenVerifier } from './verifier';

/** Signs share tokens: with a key in a file, or with a system that never gives its key away. */
export interface ShareTokenSigner {
  /**
   * Makes a share token.
   *
   * @returns a compact JWS that the service's own key set verifies.
   */
  sign(share: Share): Promise<string>;
}

/** How often the file is looked at, in milliseconds. */
const interval = 1_000;

/**
 * Signs with the private JWK in a file, which is read again when it changes. If the file is broken,
 * or if the key set can't verify its key yet, the last good key stays. So the public half must go
 * into the key set first, and then the private key into the file.
 */
export class SigningKeyFile implements ShareTokenSigner {
  private readonly key: LastGood<BoundJwk>;

  private constructor(
    file: string,
    private readonly trial: Trial,
    log: Logger,
    first: BoundJwk,
  ) {
    this.key = new LastGood(
      first,
      {
        load: async (current) => {
          const key = await readKey(file);
          if (JSON.stringify(key) === JSON.stringify(current)) return current;
          await tryOut(key, trial);
          return key;
        },
        interval,
        loaded: ({ kid }, changed) => {
          if (changed) log.info({ kid }, 'the key that signs share tokens has changed');
        },
        complaint: 'the key that signs share tokens can not be used; the old one stays',
      },
      log,
    );
  }

  /**
   * Reads the file for the first time.
   *
   * @param verifier what tokens must pass.
   * @throws Error if the key can't be used; it says why, and repeats nothing of the key.
   */
  static async open(
    file: string,
    verifier: ShareTokenVerifier,
    clock: Clock,
    log: Logger,
  ): Promise<SigningKeyFile> {
    const trial: Trial = { verifier, clock };
    try {
      const key = await readKey(file);
      await tryOut(key, trial);
      return new SigningKeyFile(file, trial, log, key);
    } catch (error) {
      const why = (error as Error).message;
      throw new Error(`SHARE_TOKEN_SIGNING_KEY can't be used: ${why}`, { cause: error });
    }
  }

  async sign(share: Share): Promise<string> {
    const token = await signShareToken(this.key.current, share);
    // The key may have been withdrawn from the key set, and whoever got the token would be refused.
    await verify(token, this.trial);
    return token;
  }

  close(): void {
    this.key.close();
  }
}

async function readKey(file: string): Promise<BoundJwk> {
  return parsePrivateKey(file, (await readRegularFile(file)).toString('utf8'));
}

/** What a key must pass before it is used. */
interface Trial {
  readonly verifier: ShareTokenVerifier;
  readonly clock: Clock;
}

/** @throws Error if the service itself would not take a token that is signed with the key. */
async function tryOut(key: BoundJwk, trial: Trial): Promise<void> {
  if (key.application_id !== undefined) {
    throw new Error('it is bound to one application, and the service signs for all');
  }
  const token = await signShareToken(key, {
    sessionId: newId<SessionId>(),
    kind: 'user',
    fromApplicationId: newId<ApplicationId>(),
    forApplicationId: newId<ApplicationId>(),
    lifetime: 60,
    issuedAt: trial.clock(),
  });
  await verify(token, trial);
}

async function verify(token: string, { verifier }: Trial): Promise<void> {
  try {
    await verifier.verify(token);
  } catch (error) {
    const problem = error instanceof ServiceError ? error.problem : undefined;
    const unread = problem?.reason === 'KEY_SET_UNAVAILABLE' ? 'they could not be read' : '';
    const why = problem && 'why' in problem ? problem.why : unread;
    throw new Error(`tokens signed with it do not pass the keys of SHARE_TOKEN_JWKS: ${why}`, {
      cause: error,
    });
  }
}
