import { connect } from 'node:http2';
import { expect } from 'chai';
import {
  ListSessionRowsRequest,
  ListSessionsRequest,
  SessionReadService,
} from '../../src/gen/sessionimport/v1/session_read';
import { toBinary, type SessionId } from '../../src/model/ids';
import { addLogs, createSession, createTenant } from '../support/fixtures';
import { callHeaders } from '../support/http2-peer';
import { reading } from '../support/metrics';
import { frameOf } from '../support/raw-http2';
import { startHarness, type Harness } from '../support/service';

const { listSessionRows, listSessions } = SessionReadService;
const calls = 20;

describe('a peer that does not read its answers', () => {
  let harness: Harness;
  before(async () => {
    harness = await startHarness();
  });
  after(() => harness.stop());

  /** Makes a session whose first page of logs has two megabytes. */
  async function createLarge(): Promise<SessionId> {
    const { db, source } = harness;
    const id = await createSession(db, source, 'user');
    await addLogs(db, 'user', id, 4);
    const additional_data = JSON.stringify({ text: 'x'.repeat(900_000) });
    await db('user_logs')
      .where({ session_id: toBinary(id) })
      .update({ additional_data });
    return id;
  }

  /** How many calls of the peer were answered. */
  const answered = (): number =>
    harness.logLines.filter((line) => /"ListSessionRows".*"OK"/.test(line)).length;
  const slowPeers = (count: number): Promise<unknown> =>
    reading(harness.server.metricsPort, 'session_import_slow_peers', {}, count);

  it('gets no more of them until it has read some, and then all', async () => {
    const { db, client, server, source } = harness;
    const request = ListSessionRowsRequest.create({
      sessionId: await createLarge(),
      relation: 'logs',
    });
    const body = frameOf(Buffer.from(ListSessionRowsRequest.encode(request).finish()));
    const headers = callHeaders(listSessionRows.path, { 'x-api-key': source.apiKey });
    const session = connect(`http://127.0.0.1:${server.port}`);
    const streams = Array.from({ length: calls }, () => session.request(headers));
    for (const stream of streams) stream.end(body);

    await slowPeers(1);
    const other = await createTenant(db);
    for (const { apiKey } of [other, source]) {
      await client.call(listSessions, apiKey, ListSessionsRequest.create());
    }
    expect(answered()).to.be.within(2, calls - 4);

    const sizes = await Promise.all(
      streams.map(async (stream) => {
        let size = 0;
        for await (const chunk of stream as AsyncIterable<Buffer>) size += chunk.length;
        return size;
      }),
    );
    expect(Math.min(...sizes)).to.be.greaterThan(1_800_000);
    expect(answered()).to.equal(calls);
    await slowPeers(0);
    session.close();
  });

  it('can take its waiting calls back', async () => {
    const { server, source } = harness;
    const request = ListSessionRowsRequest.create({
      sessionId: await createLarge(),
      relation: 'logs',
    });
    const body = frameOf(Buffer.from(ListSessionRowsRequest.encode(request).finish()));
    const headers = callHeaders(listSessionRows.path, { 'x-api-key': source.apiKey });
    const before = harness.logLines.length;
    const session = connect(`http://127.0.0.1:${server.port}`);
    const streams = Array.from({ length: calls }, () => session.request(headers));
    for (const stream of streams) {
      stream.on('error', () => undefined);
      stream.end(body);
    }
    await slowPeers(1);
    session.destroy();
    const own = (): string[] =>
      harness.logLines.slice(before).filter((line) => line.includes('"ListSessionRows"'));
    await harness.logged(() => own().length === calls);
    expect(own().filter((line) => line.includes('"CANCELLED"')).length).to.be.at.least(4);
    await slowPeers(0);
  });
});
