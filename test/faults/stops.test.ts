import { once } from 'node:events';
import { connect } from 'node:net';
import { expect } from 'chai';
import { ListSessionRowsRequest } from '../../src/gen/sessionimport/v1/session_read';
import { CertificateAuthority } from '../support/certificates';
import { createSessionWithLogs } from '../support/fixtures';
import { startTestServer } from '../support/grpc-server';
import { HealthClient } from '../support/health';
import { pause } from '../support/helpers';
import {
  call,
  endStream,
  entry,
  frame,
  frames,
  Http2Peer,
  openWindows,
  uint32,
} from '../support/http2-peer';
import { startHarness } from '../support/service';
import { tlsServer } from '../support/tls';

describe('a stop of the service', () => {
  it('waits for a peer that takes its answer slowly', async () => {
    const harness = await startHarness();
    const { db, source, server } = harness;
    const size = 8_000_000;
    const sessionId = await createSessionWithLogs(db, source, [size]);
    const request = ListSessionRowsRequest.create({ sessionId, relation: 'logs' });
    const encoded = Buffer.from(ListSessionRowsRequest.encode(request).finish());
    const message = Buffer.concat([Buffer.from([0]), uint32(encoded.length), encoded]);

    const peer = await Http2Peer.connect(server.port);
    await peer.read();
    peer.stopReading();
    peer.send(
      openWindows,
      call(1, '/sessionimport.v1.SessionRead/ListSessionRows', entry('x-api-key', source.apiKey)),
      frame(frames.data, endStream, 1, message),
    );
    await harness.logged(() => harness.logLines.some((line) => line.includes('ListSessionRows')));
    let stopped = false;
    const stop = harness.stop().then(() => {
      stopped = true;
    });
    // Longer than a stop takes without a slow peer.
    await pause(1_000);
    expect(stopped).to.equal(false);
    expect(await peer.readSlowly()).to.be.above(size);
    peer.destroy();
    await stop;
  });

  it('does not wait for clients that close when they are told to, nor for those that never spoke or only watch', async () => {
    const harness = await startHarness({ environment: { SHUTDOWN_GRACE: '300' } });
    const { port } = harness.server;
    const idle = await Http2Peer.connect(port);
    await idle.read();
    const silent = connect(port, '127.0.0.1');
    await once(silent, 'connect');
    silent.resume();
    const health = new HealthClient(port);
    const seen = ['', 'liveness'].map((name) => health.watch(name));
    await health.told(() => seen.every(({ length }) => length > 0));
    await harness.stop();
    await health.told(() => seen.every((told) => told.at(-1) === 'UNAVAILABLE'));
    expect(seen).to.deep.equal([
      ['SERVING', 'NOT_SERVING', 'UNAVAILABLE'],
      ['SERVING', 'UNAVAILABLE'],
    ]);
    await idle.cutOff();
    health.close();
  });

  it('ends connections whose TLS handshake is not complete', async () => {
    const authority = await CertificateAuthority.create();
    const server = await startTestServer({}, { credentials: await tlsServer(authority) });
    const socket = connect(server.port, '127.0.0.1');
    await once(socket, 'connect');
    // The header of a TLS record (RFC 8446, section 5.1), whose content does not come.
    socket
      .on('error', () => undefined)
      .resume()
      .write(Buffer.from([22, 3, 1, 2, 0]));
    while ((await server.connections()) === 0);
    // Not by `once`: that the connection is reset is an error for it.
    const ended = new Promise((resolve) => socket.once('close', resolve));
    await server.drain();
    await ended;
    server.stop();
    await authority.remove();
  });
});
