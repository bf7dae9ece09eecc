import Table from 'cli-table3';

/** What a command has to tell: names and values, in order. */
export type Facts = Readonly<Record<string, string | number | boolean | null>>;

/** Prints what a command has done: a table for people, one line of JSON for scripts. */
export function printFacts(facts: Facts, { json }: { readonly json: boolean }): void {
  process.stdout.write((json ? JSON.stringify(facts) : table(facts)) + '\n');
}

function table(facts: Facts): string {
  const rows = new Table({ style: { head: [], border: [] } });
  for (const [name, value] of Object.entries(facts)) {
    rows.push({ [name.replaceAll('_', ' ')]: String(value ?? '-') });
  }
  return rows.toString();
}
