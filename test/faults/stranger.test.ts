import { promisify } from 'node:util';
import {
  Metadata,
  Server,
  ServerCredentials,
  status,
  type sendUnaryData,
  type ServerWritableStream,
} from '@grpc/grpc-js';
import { expect } from 'chai';
import {
  ListEventsResponse,
  SessionEventsService,
  WatchEventsResponse,
  type WatchEventsRequest,
} from '../../src/gen/sessionimport/v1/session_events';
import { newId } from '../../src/model/ids';
import { eventually, pause } from '../support/helpers';
import { RelaySetup, type RunningRelay } from '../support/relay';
import type { WebhookReceiver } from '../support/webhook-receiver';

const apiKey = 'sik_of_somebody';

type Stream = ServerWritableStream<WatchEventsRequest, WatchEventsResponse>;

describe('a relay that is connected to something strange', () => {
  let server: Server;
  let listed: (answer: sendUnaryData<ListEventsResponse>) => void;
  let watched: (stream: Stream) => void;
  let receiver: WebhookReceiver;
  let setup: RelaySetup;
  beforeEach(async () => {
    listed = (answer) => {
      answer(null, ListEventsResponse.fromPartial({}));
    };
    server = new Server();
    server.addService(
      {
        listEvents: SessionEventsService.listEvents,
        watchEvents: SessionEventsService.watchEvents,
      },
      {
        listEvents: (_: unknown, answer: sendUnaryData<ListEventsResponse>) => {
          listed(answer);
        },
        watchEvents: (stream: Stream) => {
          watched(stream);
        },
      },
    );
    const listen = promisify(server.bindAsync.bind(server));
    const port = await listen('127.0.0.1:0', ServerCredentials.createInsecure());
    setup = await RelaySetup.open(port, { apiKey });
    ({ receiver } = setup);
  });
  afterEach(async () => {
    await setup.close();
    server.forceShutdown();
  });

  const send = (stream: Stream, ...sequences: readonly number[]): void => {
    for (const sequence of sequences) {
      stream.write(WatchEventsResponse.fromPartial({ event: { eventId: newId(), sequence } }));
    }
  };

  /** Starts a relay, and waits until it has asked for a stream, which is not accepted. */
  async function startAsking(): Promise<{ relay: RunningRelay; stream: Stream }> {
    const asked = new Promise<Stream>((resolve) => {
      watched = resolve;
    });
    const relay = setup.start();
    return { relay, stream: await asked };
  }

  it('delivers nothing behind a gap, and reads again what should be there', async () => {
    const cursors: number[] = [];
    watched = (stream) => {
      const { after } = stream.request;
      cursors.push(after);
      if (cursors.length === 1) send(stream, 1, 2, 4, 5);
      else send(stream, after + 1, after + 2, after + 3);
    };
    const relay = setup.start();
    await receiver.until(() => receiver.taken.length === 5);
    expect(receiver.taken).to.deep.equal([1, 2, 3, 4, 5]);
    expect(cursors).to.deep.equal([0, 2]);
    await relay.line((line) => line.includes('has not sent the event that follows event 2'));
  });

  it('takes no empty message for an event', async () => {
    watched = (stream) => {
      stream.write(WatchEventsResponse.fromPartial({}));
    };
    const relay = setup.start();
    await relay.line((line) => line.includes('has not sent the event that follows event 0'));
    expect(receiver.received).to.deep.equal([]);
  });

  it('takes no event whose id is none: it could neither post it nor keep it as its cursor', async () => {
    const ids = ['', 'none', 'two\nlines'];
    let left = [...ids];
    watched = (stream) => {
      const eventId = left.shift() ?? newId();
      stream.write(WatchEventsResponse.fromPartial({ event: { eventId, sequence: 1 } }));
    };
    for (const id of ids) {
      left = [id];
      const relay = setup.start();
      await relay.line((line) => line.includes('has not sent the event that follows event 0'));
      await relay.stop();
    }
    setup.start();
    await receiver.until(() => receiver.received.length === 1);
    expect(receiver.taken).to.deep.equal([1]);
  });

  it('goes on behind what it has delivered when a stream ends well', async () => {
    watched = (stream) => {
      send(stream, stream.request.after + 1);
      stream.end();
    };
    const relay = setup.start();
    await receiver.until(() => receiver.taken.length === 2);
    await relay.stop();
    expect(receiver.taken.slice(0, 2)).to.deep.equal([1, 2]);
    expect(relay.logLines.join()).not.to.include('can not be read');
  });

  it('says that the feed can not be read if each stream ends well, but without an event', async () => {
    watched = (stream) => {
      stream.end();
    };
    const relay = setup.start();
    await relay.line((line) => line.includes('has ended the stream without an event'));
    expect(relay.metrics.works).to.equal(false);
    // It goes on when there is one.
    watched = (stream) => {
      send(stream, 1);
    };
    await receiver.until(() => receiver.taken.length === 1);
    expect(relay.metrics.works).to.equal(true);
  });

  it('says that the feed can not be read if the service lists events, but never accepts a stream', async () => {
    await setup.write('cursor', JSON.stringify({ after: 3, event_id: newId() }));
    watched = () => undefined;
    const relay = setup.start({ service: { ...setup.service, timeout: 100 } });
    await relay.line((line) => line.includes('no answer within 0.1 seconds'));
    expect(relay.metrics.works).to.equal(false);
    // It goes on when the service accepts one.
    watched = (stream) => {
      send(stream, 4);
    };
    await receiver.until(() => receiver.taken.length === 1);
    expect(relay.metrics.works).to.equal(true);
  });

  it('says that the feed can not be read if the service fails after it has not accepted a stream for long', async () => {
    const { relay, stream } = await startAsking();
    // Longer than a connection must last to count as one that works.
    await pause(10_500);
    stream.emit('error', { code: status.UNAVAILABLE, details: 'nobody there' });
    await relay.line((line) => line.includes('nobody there'));
    expect(relay.metrics.works).to.equal(false);
  });

  it('counts as one that does not work until the service has accepted a stream for some time', async () => {
    const { relay, stream } = await startAsking();
    expect(relay.metrics.works).to.equal(false);
    stream.sendMetadata(new Metadata());
    await eventually(() => Promise.resolve(relay.metrics.works));
  });

  it('goes on after an error whose details are not those of the service, and does not log its key', async () => {
    const details = new Metadata();
    details.set('grpc-status-details-bin', Buffer.from([0xff]));
    watched = (stream) => {
      const key = String(stream.metadata.get('x-api-key')[0]);
      const error = { code: status.UNAUTHENTICATED, details: `nobody has the key ${key}` };
      stream.emit('error', { ...error, metadata: details });
    };
    const relay = setup.start();
    const line = await relay.line((text) => text.includes('nobody has the key'));
    expect(line).to.include('UNAUTHENTICATED').and.not.to.include(apiKey);
    watched = (stream) => {
      send(stream, 1);
    };
    await receiver.until(() => receiver.taken.length === 1);
  });

  it('stops also while the service does not answer', async () => {
    await setup.write('cursor', JSON.stringify({ after: 3, event_id: newId() }));
    const asked = new Promise<void>((resolve) => {
      listed = () => {
        resolve();
      };
    });
    const relay = setup.start();
    await asked;
    await relay.stop();
    expect(await setup.cursor()).to.equal(3);
  });
});
