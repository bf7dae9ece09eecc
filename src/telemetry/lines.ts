import { writeSync } from 'node:fs';
import { errorCode } from '../model/problems';

/** How long to wait for a reader that is behind, in milliseconds. */
const pause = 10;

/**
 * Writes the lines of a log to a file descriptor, each before `write` returns: the last ones tell why a process
 * has ended. A line that can't be written, since the disk is full or nobody reads any more, is lost. A service
 * must not end because its log has.
 */
export class Lines {
  /** Whether only a part of the last line was written. */
  private torn = false;

  constructor(private readonly fd: number) {}

  write(line: string): void {
    let rest = Buffer.from(this.torn ? `\n${line}` : line);
    const whole = rest.length;
    while (rest.length > 0) {
      try {
        rest = rest.subarray(writeSync(this.fd, rest));
      } catch (error) {
        if (errorCode(error as Error) !== 'EAGAIN') break;
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, pause);
      }
    }
    this.torn = rest.length > 0 && (this.torn || rest.length < whole);
  }
}
