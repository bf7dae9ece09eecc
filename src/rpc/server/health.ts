import { setTimeout as sleep } from 'node:timers/promises';
import type { Server } from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';
import type { Database } from '../../db/database';
import { databaseFailure, NotConnected } from '../../db/errors';
import { whyUnreachable } from '../../db/reachable';
import { requireWritable } from '../../store/session-numbers';
import type { Logger } from '../../telemetry/log';
import { LogThrottle } from '../../telemetry/log-throttle';
import { withSmallRequests } from './small-requests';

/** How often the database is checked, in milliseconds. */
const interval = 1_000;

/** How long its answer may take, in milliseconds. */
const queryTimeout = 2_000;

/** The health name for liveness: SERVING as long as the process runs. */
const liveness = 'liveness';

/** Why the database can't be used. */
interface Trouble {
  /** For the log: an error's code, or some words. */
  readonly why: string;
  /** What the operator should check, if `why` alone is misleading. */
  readonly hint?: string | undefined;
  /** Whether it may be the connections that lead to the wrong place. */
  readonly misled: boolean;
}

/**
 * Whether the service is ready: the database can be reached and takes its writes, imports end, and nobody has
 * told it to stop. The standard health service (grpc.health.v1) reports it, Watch included.
 */
export class HealthMonitor {
  private readonly health = new HealthImplementation({ [liveness]: 'SERVING' });
  private readonly throttle = new LogThrottle();
  private reported: boolean | undefined;
  private timer: NodeJS.Timeout | undefined;
  private stopped = false;
  /** The trouble that the previous check has found; undefined: none. */
  private trouble: Trouble | undefined;
  /** The health names for readiness. The empty name stands for the whole server. */
  private readonly readiness: readonly string[];

  /**
   * @param services the gRPC services that are ready when the server is.
   * @param renew has all pools make new connections.
   */
  constructor(
    private readonly db: Database,
    services: readonly string[],
    private readonly renew: () => void,
    private readonly log: Logger,
  ) {
    this.readiness = ['', 'readiness', ...services];
    this.report(false);
  }

  get ready(): boolean {
    return this.reported === true;
  }

  addToServer(server: Server): void {
    this.health.addToServer(withSmallRequests(server));
  }

  /**
   * Checks now, and from then on at intervals.
   *
   * @param isStuck whether imports do not end.
   */
  async start(isStuck: () => boolean): Promise<void> {
    const trouble = isStuck()
      ? { why: 'imports do not end', misled: false }
      : await this.findTrouble();
    if (this.stopped) return;
    // When the trouble is over, too: a connection that was made meanwhile may lead to the old place.
    if (trouble?.misled || this.trouble?.misled) this.renew();
    this.tell(trouble);
    this.trouble = trouble;
    this.report(!trouble);
    this.timer = setTimeout(() => void this.start(isStuck), interval).unref();
  }

  /** Reports NOT_SERVING from now on, because the service is about to stop. */
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

  private tell(trouble: Trouble | undefined): void {
    if (trouble) {
      const { why, hint } = trouble;
      if (this.throttle.allows(why)) this.log.warn({ why, hint }, 'not ready');
    } else if (this.trouble) {
      this.throttle.reset();
      this.log.info('ready again');
    }
  }

  private async findTrouble(): Promise<Trouble | undefined> {
    try {
      const writable = await Promise.race([
        this.takesWrites(),
        sleep(queryTimeout, 'late' as const, { ref: false }),
      ]);
      if (writable === 'late') return { why: 'the database does not answer', misled: false };
      return writable ? undefined : { why: 'the database is read-only', misled: true };
    } catch (error) {
      // Somebody, such as a migration, has locked the table; the database itself is healthy.
      if (databaseFailure(error) === 'lock wait') return undefined;
      // If no new connection can be made, the existing ones must be kept.
      return { ...whyUnreachable(error as Error), misled: !(error instanceof NotConnected) };
    }
  }

  /**
   * @returns false if the server is read-only. A user with many rights could write there all the same.
   * @throws the database's error if it can't be reached, or takes no writes.
   */
  private async takesWrites(): Promise<boolean> {
    const question = 'SELECT @@global.read_only AS server, @@global.innodb_read_only AS engine';
    const [rows] = (await this.db.raw(question)) as [Record<'server' | 'engine', unknown>[]];
    // MySQL has numbers here. A server where the variable is an enum has a word.
    const isOff = (value: unknown): boolean => value === 0 || value === 'OFF';
    if (!rows.every(({ server, engine }) => isOff(server) && isOff(engine))) return false;
    await requireWritable(this.db);
    return true;
  }
}
