import { FairLine, requireRoom } from './fair-line';

/** Limits for the size of a batch, and for the items that wait. */
export interface BatchOptions {
  /** The most items of a batch. */
  readonly size: number;
  /** Items that wait, at most. More are refused, or displace those of a larger owner. */
  readonly limit: number;
}

interface Waiting<Item, Result> {
  readonly item: Item;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Does the work of many items at once. One batch runs at a time. Items that arrive meanwhile wait, and share
 * the next one; their owners take turns. So a flood of items takes one connection and few statements.
 */
export class Batches<Owner, Item, Result> {
  private readonly line = new FairLine<Owner, Waiting<Item, Result>>();
  private running = false;

  /** @param run does the work of a batch, and returns the result of each item in their order. */
  constructor(
    private readonly run: (items: readonly Item[]) => Promise<readonly Result[]>,
    private readonly options: BatchOptions,
  ) {}

  /**
   * Adds an item to the next batch that has room for it.
   *
   * @throws ServiceError with OVERLOADED if too many items wait already.
   * @throws whatever `run` throws: then all items of the batch fail.
   */
  async add(owner: Owner, item: Item): Promise<Result> {
    requireRoom([this.line], this.options.limit, owner, ({ reject }, error) => {
      reject(error);
    });
    return new Promise((resolve, reject) => {
      this.line.append(owner, { item, resolve, reject });
      if (!this.running) void this.runAll();
    });
  }

  private async runAll(): Promise<void> {
    this.running = true;
    while (this.line.length > 0) await this.runBatch(this.takeBatch());
    this.running = false;
  }

  private takeBatch(): Waiting<Item, Result>[] {
    const batch: Waiting<Item, Result>[] = [];
    while (batch.length < this.options.size) {
      const next = this.line.shift();
      if (!next) break;
      batch.push(next);
    }
    return batch;
  }

  private async runBatch(batch: readonly Waiting<Item, Result>[]): Promise<void> {
    try {
      const results = await this.run(batch.map(({ item }) => item));
      for (const [index, { resolve }] of batch.entries()) resolve(results[index] as Result);
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
  }
}
