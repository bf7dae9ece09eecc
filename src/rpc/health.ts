import type { Server } from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';
import type { Database } from '../db/connection';

/** How often the database is asked whether it answers, in milliseconds. */
const interval = 1_000;

/** How long its answer may take, in milliseconds. */
const patience = 2_000;

/**
 * The standard health service (grpc.health.v1): SERVING only while the database answers and
 * takes writes, for the server as a whole (the empty name) and for each service.
 */
export class HealthMonitor {
  private readonly health: HealthImplementation;
  private readonly names: readonly string[];
  private serving: boolean | undefined;
  private timer: NodeJS.Timeout | undefined;
  private stopped = false;

  constructor(
    private readonly db: Database,
    services: readonly string[],
  ) {
    this.names = ['', ...services];
    this.health = new HealthImplementation();
    this.report(false);
  }

  addToServer(server: Server): void {
    this.health.addToServer(server);
  }

  /** Looks for the first time, and from then on at intervals. */
  async start(): Promise<void> {
    this.report(await this.databaseAnswers());
    if (this.stopped) return;
    this.timer = setTimeout(() => void this.start(), interval).unref();
  }

  /** Reports NOT_SERVING from now on: the service is about to go. */
  stop(): void {
    this.stopped = true;
    clearTimeout(this.timer);
    this.report(false);
  }

  /** Sets the status where it has changed: everybody who watches it is told. */
  private report(answers: boolean): void {
    const serving = answers && !this.stopped;
    if (serving === this.serving) return;
    this.serving = serving;
    for (const name of this.names) {
      this.health.setStatus(name, serving ? 'SERVING' : 'NOT_SERVING');
    }
  }

  private async databaseAnswers(): Promise<boolean> {
    try {
      const question = 'SELECT @@global.read_only AS read_only';
      const [rows] = (await this.db.raw(question).timeout(patience)) as [{ read_only: unknown }[]];
      // A number in MySQL, and a word where it is a list of choices.
      return rows.some(({ read_only: value }) => value === 0 || value === 'OFF');
    } catch {
      return false;
    }
  }
}
