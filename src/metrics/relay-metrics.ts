import { Gauge } from 'prom-client';
import type { RelayObserver, RelayPeer } from '../relay/observer';
import { ExposedMetrics } from './exposed';

const peers: readonly RelayPeer[] = ['service', 'receiver'];

/** What a relay tells Prometheus. */
export class RelayMetrics extends ExposedMetrics implements RelayObserver {
  /** Since when peers have failed, by `performance.now()`. */
  private readonly failingSince = new Map<RelayPeer, number>();

  private readonly sequence = new Gauge({
    name: 'session_import_relay_sequence',
    help: 'Of a relay: the number of the last event that the receiver has taken. At the start, the number in the cursor file.',
    registers: this.registers,
  });
  private readonly delay = new Gauge({
    name: 'session_import_relay_delay_seconds',
    help: 'Of a relay: how old the last event was when the receiver took it, in seconds.',
    registers: this.registers,
  });

  constructor() {
    super();
    const failing = new Gauge({
      name: 'session_import_relay_failing_seconds',
      help: 'Of a relay: for how long the peer has not worked, in seconds; 0: it works. peer: service (its feed can not be read, or has not been read yet), receiver (it does not take an event).',
      labelNames: ['peer'],
      registers: this.registers,
      collect: () => {
        for (const peer of peers) failing.set({ peer }, this.failingFor(peer));
      },
    });
    // Until it is known to work.
    this.failed('service');
  }

  /** Whether both work. The receiver counts as working until a call fails, because it is only called if there is an event. */
  get works(): boolean {
    return this.failingSince.size === 0;
  }

  began(after: number): void {
    this.sequence.set(after);
  }

  delivered({ sequence, createdAt }: Parameters<RelayObserver['delivered']>[0]): void {
    this.sequence.set(sequence);
    // At least 0, even if the clocks differ.
    if (createdAt) this.delay.set(Math.max(0, Date.now() - createdAt.getTime()) / 1_000);
  }

  failed(peer: RelayPeer): void {
    if (!this.failingSince.has(peer)) this.failingSince.set(peer, performance.now());
  }

  recovered(peer: RelayPeer): void {
    this.failingSince.delete(peer);
  }

  private failingFor(peer: RelayPeer): number {
    const since = this.failingSince.get(peer);
    return since === undefined ? 0 : (performance.now() - since) / 1_000;
  }
}
