import { expect } from 'chai';
import { KnownPeers } from '../../src/rpc/call/known-peers';
import type { Connection } from '../../src/rpc/server/connection';
import { excessOf, givingWay } from '../../src/rpc/server/give-way';

describe('what gives way to a new connection when there are too many', () => {
  const known = new KnownPeers();
  let made = 0;

  /** @param idleSince undefined: it has a call. */
  function connection(address: string, idleSince?: number, isKnown = false): Connection {
    const peer = `${address}:${++made}`;
    if (isKnown) known.add(peer);
    return { address, peer, idleSince } as Connection;
  }
  const many = (count: number, make: (index: number) => Connection): Connection[] =>
    Array.from({ length: count }, (_, index) => make(index));

  it('is one of the address that fills the service, and not an honest one that is idle', () => {
    const honest = [connection('honest', 5), connection('pool', 1, true)];
    const attacker = many(98, () => connection('attacker'));
    const all = [...honest, ...attacker];
    expect(givingWay(all, 'newcomer', known)).to.equal(attacker[0]);
    expect(givingWay(all, 'honest', known)).to.equal(attacker[0]);
    // It makes no room for its own.
    expect(givingWay(all, 'attacker', known)).to.equal(undefined);
    const three = many(99, (index) => connection(`attacker ${index % 3}`));
    expect(givingWay([connection('honest', 5), ...three], 'attacker 0', known)).to.equal(undefined);
  });

  it('is one of a known address that fills the service, also if a stranger has a call', () => {
    const attacker = many(99, () => connection('attacker', undefined, true));
    const all = [connection('stranger'), ...attacker];
    expect(givingWay(all, 'newcomer', known)).to.equal(attacker[0]);
    expect(givingWay(all, 'attacker', known)).to.equal(undefined);
  });

  it('is the stranger of many addresses that has been idle for longest, and not a busy gateway', () => {
    const gateway = many(20, () => connection('gateway', undefined, true));
    const idle = many(80, (index) => connection(`attacker ${index}`, 100 - index));
    const all = [...gateway, ...idle];
    expect(givingWay(all, 'another', known)).to.equal(idle.at(-1));
    expect(givingWay(all, 'gateway', known)).to.equal(idle.at(-1));
    const busy = many(80, (index) => connection(`attacker ${index}`));
    expect(givingWay([...gateway, ...busy], 'another', known)).to.equal(undefined);
  });

  it('is an idle one of the address with the most, if all are known', () => {
    const pool = many(10, (index) => connection('pool', 10 - index, true));
    const others = many(10, (index) => connection(`other ${index}`, 0, true));
    expect(givingWay([...others, ...pool], 'newcomer', known)).to.equal(pool.at(-1));
  });
});

describe('what is cut off if connections cost too much together', () => {
  const known = new KnownPeers();
  let made = 0;
  const connection = (address: string, isKnown: boolean): Connection => {
    const peer = `${address}:${++made}`;
    if (isKnown) known.add(peer);
    return { address, peer } as Connection;
  };
  const [gateway, insider] = [connection('gateway', true), connection('insider', true)];
  const strangers = (count: number, cost: number): [Connection, number][] =>
    Array.from({ length: count }, (_, index) => [connection(`stranger ${index}`, false), cost]);

  it('is nothing up to the limit, of which known peers may have three quarters', () => {
    expect(excessOf([], 100, known)).to.equal(undefined);
    expect(excessOf([[gateway, 0], ...strangers(2, 0)], 0, known)).to.equal(undefined);
    expect(excessOf(strangers(10, 10), 100, known)).to.equal(undefined);
    expect(excessOf([[gateway, 75], ...strangers(25, 1)], 100, known)).to.equal(undefined);
  });

  it('is the most expensive stranger of the most expensive address, whatever known peers cost', () => {
    const second = connection('stranger 20', false);
    const costs = [[gateway, 750], ...strangers(249, 1), [second, 2]] as const;
    expect(excessOf(costs, 1_000, known)).to.deep.equal({ connection: second, punished: true });
  });

  it('is a known peer if known peers cost too much, whatever strangers cost', () => {
    for (const others of [[], strangers(400, 1)]) {
      expect(excessOf([[gateway, 100], [insider, 700], ...others], 1_000, known)).to.deep.equal({
        connection: insider,
        punished: true,
      });
      expect(excessOf([[gateway, 751], ...others], 1_000, known)).to.deep.equal({
        connection: gateway,
        // There is nobody else who suffers from it, but many may be behind it.
        punished: false,
      });
    }
  });
});
