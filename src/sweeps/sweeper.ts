import type { MultiDatabase } from '../db/database';
import { write } from '../db/query';
import { sessionKinds } from '../model/session';
import { prepareSweep } from '../store/sweeps';
import { sweepChanged } from './changed';
import { sweepGone } from './gone';

/**
 * Looks for sessions that the platform has changed or deleted by itself, and has the applications told that have a
 * copy. Every process has one, and each sweep is run by one process at a time.
 */
export class SourceSweeper {
  private prepared = false;

  /** @param db has a connection that nobody else uses. */
  constructor(private readonly db: MultiDatabase) {}

  /**
   * Takes a step of each sweep.
   *
   * @returns whether one of them has more to do at once.
   */
  async step(): Promise<boolean> {
    try {
      if (!this.prepared) await this.prepare();
      let more = false;
      for (const kind of sessionKinds) more = (await sweepChanged(this.db, kind)) || more;
      return (await sweepGone(this.db)) || more;
    } catch (error) {
      // The database may have been restored, without the rows of the sweeps: they are made again.
      this.prepared = false;
      throw error;
    }
  }

  private async prepare(): Promise<void> {
    for (const kind of sessionKinds) await write(this.db, prepareSweep(`changed ${kind}`));
    await write(this.db, prepareSweep('gone'));
    this.prepared = true;
  }
}
