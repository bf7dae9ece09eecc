import { writeSync } from 'node:fs';
import { errorCode } from '../model/problems';

/** How long to wait for a slow reader, in milliseconds. */
const pause = 10;

/**
 * Writes the lines of a log to a file descriptor, each before `write` returns, because the last lines say why a
 * process has ended. If a line can't be written, because the disk is full or nobody reads the log any more, it is
 * lost. The service must not end because of that.
 */
export class Lines {
  /** Whether the last line was written only partly. */
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
