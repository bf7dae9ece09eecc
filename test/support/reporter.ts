import { reporters } from 'mocha';

/** Mocha's own report, with one line at its end that tells how the run went. */
class Reporter extends reporters.Spec {
  /** Mocha calls this when everything is over. A run without any test has shown nothing, and fails. */
  override done(failures: number, end: (failures: number) => void): void {
    const { passes, pending } = this.stats;
    const skipped = pending > 0 ? `, ${pending} skipped` : '';
    console.log(`${passes} passed, ${failures} failed${skipped}`);
    end(failures === 0 && passes === 0 ? 1 : failures);
  }
}

export = Reporter;
