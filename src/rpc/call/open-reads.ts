import type { ApplicationId } from '../../model/ids';
import { Turns } from '../../turns/turns';
import { lineLimit } from './lines';

/**
 * How many reads an application may have open on one connection. These are more than it may have running, so that no place
 * stays empty while an answer is taken.
 */
const ofOneConnection = 4;

/** Whose read it is. */
export interface Reader {
  readonly applicationId: ApplicationId;
  /** The other end of its connection: address and port, as gRPC names them. */
  readonly peer: string;
}

/**
 * Bounds how many reads of an application are open on one connection. A read is open until its peer has taken its answer. So
 * if a peer takes no answers, few are made for it: more would only fill memory, and other applications would wait for them.
 *
 * Reads of other applications on the same connection go on: it may be that of a gateway.
 */
export class OpenReads {
  private readonly turns = new Turns<string>({
    atOnce: Infinity,
    ofOneOwner: () => ofOneConnection,
    limit: lineLimit,
  });

  /** How many reads wait until others of their application are no longer open on their connection. */
  get waiting(): number {
    return this.turns.waiting;
  }

  /**
   * Reads when it may.
   *
   * @param signal ends the waiting. Once the read has begun, the signal has no effect.
   * @param taken resolves when the peer has taken the answer, or the call has ended without one.
   * @returns what was read, at once.
   * @throws ServiceError with OVERLOADED if too many reads wait.
   * @throws CallAbandoned if the signal was aborted before the read began.
   */
  run<T>(
    { applicationId, peer }: Reader,
    signal: AbortSignal,
    taken: Promise<void>,
    read: () => Promise<T>,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      const open = this.turns.run(`${peer} ${applicationId}`, signal, async () => {
        await read().then(resolve, reject);
        await taken;
      });
      open.catch(reject);
    });
  }
}
