import { expect } from 'chai';
import { networkOf } from '../../src/rpc/server/networks';

describe('the network of a peer', () => {
  it('is an IPv4 address, whichever form it has', () => {
    expect(networkOf('192.0.2.7')).to.equal('192.0.2.7');
    expect(networkOf('::ffff:192.0.2.7')).to.equal('192.0.2.7');
    expect(networkOf('64:ff9b::192.0.2.7')).to.equal('192.0.2.7');
    expect(networkOf('192.0.2.8')).not.to.equal(networkOf('192.0.2.7'));
  });

  it('is the /64 of an IPv6 address, whichever form it has', () => {
    const same = ['2001:db8:1:2::1', '2001:0DB8:1:2:ffff::', '2001:db8:1:2:3:4:5:6'];
    expect(new Set(same.map(networkOf)).size).to.equal(1);
    const others = ['2001:db8:1:3::1', '::1', 'fe80::1%eth0', '2001:db8:1::2', '64:ff9b:1::1'];
    expect(new Set([...same, ...others].map(networkOf)).size).to.equal(6);
  });
});
