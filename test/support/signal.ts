/** Tells those who wait for something that something has happened. */
export class Signal {
  private readonly waiting = new Set<() => void>();

  /** Has all who wait look whether it was what they wait for. */
  fire(): void {
    for (const look of [...this.waiting]) look();
  }

  /** Waits until a condition holds, looking now and whenever something happens. */
  until(condition: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (!condition()) return;
        this.waiting.delete(look);
        resolve();
      };
      this.waiting.add(look);
      look();
    });
  }
}
