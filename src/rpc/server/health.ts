import type { Server } from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';
import type { Database } from '../../db/database';

/** How often the database is asked whether it answers, in milliseconds. */
const interval = 1_000;

/** How long its answer may take, in milliseconds. */
const queryTimeout = 2_000;

/** The health name for liveness: SERVING as long as the process runs. */
const liveness = 'liveness';

/**
 * Whether the service is ready: the database answers and takes writes, and nobody has told it to stop.
 * The standard health service (grpc.health.v1) reports it, Watch included.
 */
export class HealthMonitor {
  private readonly health = new HealthImplementation({ [liveness]: 'SERVING' });
  private reported: boolean | undefined;
  private timer: NodeJS.Timeout | undefined;
  private stopped = false;
  /** The health names for readiness. The empty name stands for the whole server. */
  private readonly readiness: readonly string[];

  /** @param services the gRPC services that are ready when the server is. */
  constructor(
    private readonly db: Database,
    services: readonly string[],
  ) {
    this.readiness = ['', 'readiness', ...services];
    this.report(false);
  }

  get ready(): boolean {
    return this.reported === true;
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
    const ready = answers && !this.stopped;
    if (ready === this.reported) return;
    this.reported = ready;
    for (const name of this.readiness)
      this.health.setStatus(name, ready ? 'SERVING' : 'NOT_SERVING');
  }

  private async databaseAnswers(): Promise<boolean> {
    try {
      const question = 'SELECT @@global.read_only AS read_only';
      const [rows] = (await this.db.raw(question).timeout(queryTimeout)) as [
        { read_only: unknown }[],
      ];
      // MySQL has a number here. A server where the variable is an enum has a word.
      return rows.some(({ read_only: value }) => value === 0 || value === 'OFF');
    } catch {
      return false;
    }
  }
}
