import { Signal } from './signal';

/** The log lines of something that runs: in this process, or in one of its own. */
export abstract class LogLines {
  readonly logLines: string[] = [];
  private readonly logging = new Signal();
  private logEnded = false;

  protected addLine(line: string): void {
    this.logLines.push(line);
    this.logging.fire();
  }

  protected endLog(): void {
    this.logEnded = true;
    this.logging.fire();
  }

  /** Why there are no more lines. */
  protected abstract whyEnded(): Promise<string>;

  /** Waits for a log line with the given message, and returns it; fails if the log ends without. */
  async logged(message: string): Promise<Record<string, unknown>> {
    const text = await this.line((line) => entryOf(line)['msg'] === message);
    return entryOf(text);
  }

  /** Waits for a log line that fits, and returns it; fails if the log ends without. */
  async line(fits: (line: string) => boolean): Promise<string> {
    let found: string | undefined;
    await this.logging.until(() => {
      found = this.logLines.find(fits);
      return found !== undefined || this.logEnded;
    });
    if (found !== undefined) return found;
    throw new Error(`the log has ended: ${await this.whyEnded()}`);
  }
}

function entryOf(line: string): Record<string, unknown> {
  return JSON.parse(line) as Record<string, unknown>;
}
