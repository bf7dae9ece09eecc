import { LRUCache } from 'lru-cache';
import type { ApplicationId, SessionId } from '../model/ids';
import type { LargeBytes } from '../store/relations/count';
import type { AdmittedImport, PlannedImport } from './planned-import';

/** The share of sessions that are measured at random. */
const measuredShare = 1 / 16;

/** The most bytes of large values in a usual session. While the estimate is above that, all are measured. */
const typicalBytes = 512 * 1024;

/** The part of an estimate that remains after a smaller session was measured. */
const decay = 0.9;

/** How many estimates are kept. If the estimate of a pair was dropped, its next session is measured. */
const estimatesKept = 10_000;

/** How many bytes of large values count as one row. Most rows have less. */
const bytesOfRow = 2_048;

/**
 * How much it costs to copy a session: its weight, in rows. Large values count as several rows.
 *
 * The rows of each session are counted. But to know the size of its values, MySQL has to read all of
 * them, which would make every import about five percent more expensive. So only some sessions of each pair
 * of applications are measured: the first, some at random, and all while the estimate is high. Those of the
 * same pair that are not measured are assumed to be like them.
 */
export class SessionSizes {
  /** About how many bytes the large values of a session have. */
  private readonly estimates = new LRUCache<Partners, number>({ max: estimatesKept });

  /** @param random returns a number from 0 to 1, less than 1. */
  constructor(private readonly random: () => number = Math.random) {}

  /**
   * Chooses the source sessions to measure. What is only validated is not copied, so its size does not matter.
   *
   * @param most the greatest weight that the caller lets into a group. Sessions that are likely to have
   * more are not measured: the estimate is enough to keep them out.
   */
  choose(calls: readonly PlannedImport[], most: number): SessionId[] {
    const met = new Set<Partners>();
    const chosen = calls.filter((call) => {
      if (call.request.validateOnly) return false;
      const partners = partnersOf(call);
      const estimate = this.estimates.get(partners);
      const isFirst = estimate === undefined && !met.has(partners);
      met.add(partners);
      const isLarge = (estimate ?? 0) > typicalBytes;
      if (isFirst) return true;
      return isLarge ? (estimate ?? 0) / bytesOfRow <= most : this.random() < measuredShare;
    });
    return chosen.map(({ request }) => request.sourceSessionId);
  }

  /**
   * Learns from the sessions that were measured, also if their calls are refused. Otherwise the next call of the
   * pair would be the first again, and a refused call could have its session measured again and again.
   *
   * @param measured the large values of those that were measured.
   */
  learn(calls: readonly PlannedImport[], measured: ReadonlyMap<SessionId, LargeBytes>): void {
    for (const call of calls) {
      const bytes = measured.get(call.request.sourceSessionId)?.all;
      if (bytes === undefined) continue;
      this.estimates.set(partnersOf(call), Math.max(bytes, this.estimateOf(call) * decay));
    }
  }

  /**
   * Has the next sessions of these pairs measured, because one session was larger than the database allows in a
   * transaction, and it is not known which.
   */
  doubt(calls: readonly PlannedImport[]): void {
    for (const call of calls) {
      this.estimates.set(partnersOf(call), Math.max(this.estimateOf(call), typicalBytes + 1));
    }
  }

  /**
   * Weighs what calls copy. Different calls may copy different parts of a session.
   *
   * @param measured the large values of those that were measured.
   * @returns the weight of what each call copies, by the id of its copy: at least the number of its rows.
   */
  weigh(
    calls: readonly AdmittedImport[],
    measured: ReadonlyMap<SessionId, LargeBytes>,
  ): ReadonlyMap<SessionId, number> {
    return new Map(
      calls.map((call) => {
        const { request, source, sessionId } = call;
        const bytes = measured.get(request.sourceSessionId)?.all ?? this.estimateOf(call);
        return [sessionId, Math.max(source.rows.total, bytes / bytesOfRow)];
      }),
    );
  }

  private estimateOf(call: PlannedImport): number {
    return this.estimates.get(partnersOf(call)) ?? 0;
  }
}

/** The importing application, and the source application. */
type Partners = `${ApplicationId}/${ApplicationId}`;

function partnersOf({ request }: PlannedImport): Partners {
  return `${request.applicationId}/${request.sourceApplicationId}`;
}
