/**
 * A process that attacks. Its parent tells it how. It begins at once, reports when all its connections are
 * open, and reports what the attack came to when it is told to stop.
 */
import { setImmediate as turn } from 'node:timers/promises';
import type { Attack, Tally, Teller } from './attacks';
import { floodWithFrames } from './frames';
import { floodWithCalls, floodWithStreams } from './peer';

/** What the attacker is told. */
export type Order = { readonly address: string; readonly attack: Attack } | 'stop';

/** What the attacker says. */
export type AttackReport =
  | { readonly type: 'begun' }
  | { readonly type: 'ended'; readonly tally: Tally };

const tally: Tally = {};

function count(what: string): void {
  tally[what] = (tally[what] ?? 0) + 1;
}

process.on('message', (order: Order) => {
  if (order === 'stop') send({ type: 'ended', tally });
  else begin(order.address, order.attack);
});
process.on('disconnect', () => process.exit());

function begin(address: string, attack: Attack): void {
  let missing = attack.type === 'computing' ? 1 : attack.connections;
  const connected = (): void => {
    count('connections');
    if (--missing === 0) send({ type: 'begun' });
  };
  const teller: Teller = { count, connected };
  switch (attack.type) {
    case 'calls':
      floodWithCalls(address, attack, teller);
      return;
    case 'streams':
      floodWithStreams(address, attack, teller);
      return;
    case 'rapid reset':
    case 'one-byte frames':
      floodWithFrames(address, attack, teller);
      return;
    case 'computing':
      connected();
      void compute();
  }
}

/** How long it computes before it looks for messages of its parent, in milliseconds. */
const slice = 20;

async function compute(): Promise<never> {
  for (;;) {
    const end = performance.now() + slice;
    while (performance.now() < end) count('rounds');
    await turn();
  }
}

function send(report: AttackReport): void {
  process.send?.(report);
}
