import { connect } from 'node:http2';
import { expect } from 'chai';
import {
  ListSessionRowsRequest,
  ListSessionsRequest,
  SessionReadService,
} from '../../src/gen/sessionimport/v1/session_read';
import {
  RevokeShareTokenRequest,
  SessionShareService,
} from '../../src/gen/sessionimport/v1/session_share';
import type { SessionId } from '../../src/model/ids';
import { createSessionWithLogs, createTenant } from '../support/fixtures';
import { callHeaders } from '../support/http2-peer';
import { reading } from '../support/metrics';
import { frameOf } from '../support/raw-http2';
import { startHarness, type Harness } from '../support/service';

const { listSessionRows, listSessions } = SessionReadService;
const { revokeShareToken } = SessionShareService;
const calls = 40;
/** How many reads an application may have open on one connection. */
const open = 4;

describe('a peer that does not read its answers', () => {
  let harness: Harness;
  before(async () => {
    harness = await startHarness();
  });
  after(() => harness.stop());

  /** Makes a session whose first page of logs has two megabytes, and what reads that. */
  async function createLarge(): Promise<{ readonly id: SessionId; readonly body: Buffer }> {
    const sizes = Array.from({ length: 4 }, () => 900_000);
    const id = await createSessionWithLogs(harness.db, harness.source, sizes);
    const request = ListSessionRowsRequest.create({ sessionId: id, relation: 'logs' });
    return { id, body: frameOf(Buffer.from(ListSessionRowsRequest.encode(request).finish())) };
  }

  /** Makes the same call many times on a connection of its own, and reads no answer. */
  function callWithoutReading(body: Buffer) {
    const headers = callHeaders(listSessionRows.path, { 'x-api-key': harness.source.apiKey });
    const session = connect(`http://127.0.0.1:${harness.server.port}`);
    const streams = Array.from({ length: calls }, () => session.request(headers));
    for (const stream of streams) {
      stream.on('error', () => undefined);
      stream.end(body);
    }
    return { session, headers, streams };
  }

  /** The log lines of calls that ended with a status. */
  const ended = (method: string, code: string): string[] =>
    harness.logLines.filter((line) => line.includes(`"${method}"`) && line.includes(`"${code}"`));
  const untilWaiting = (count: number): Promise<unknown> =>
    reading(harness.server.metricsPort, 'session_import_line_calls', { line: 'reads' }, count);

  it('gets no more answers until it has read some, and then gets all', async () => {
    const { db, client, source } = harness;
    const { id, body } = await createLarge();
    const { session, headers, streams } = callWithoutReading(body);
    await untilWaiting(calls - open);
    await harness.logged(() => ended('ListSessionRows', 'OK').length === open);

    // Others are not delayed, even on the same connection, nor are calls that write.
    const other = await createTenant(db);
    for (const { apiKey } of [other, source]) {
      await client.call(listSessions, apiKey, ListSessionsRequest.create());
    }
    const revoke = RevokeShareTokenRequest.create({ target: { $case: 'sessionId', value: id } });
    const revoking = session.request({ ...headers, ':path': revokeShareToken.path });
    revoking.end(frameOf(Buffer.from(RevokeShareTokenRequest.encode(revoke).finish())));
    await harness.logged(() => ended('RevokeShareToken', 'OK').length === 1);
    const listing = session.request({
      ...headers,
      ':path': listSessions.path,
      'x-api-key': other.apiKey,
    });
    listing.end(frameOf(Buffer.alloc(0)));
    await harness.logged(() => ended('ListSessions', 'OK').length === 3);
    expect(ended('ListSessionRows', 'OK').length).to.equal(open);

    const sizes = await Promise.all(
      streams.map(async (stream) => {
        let size = 0;
        for await (const chunk of stream as AsyncIterable<Buffer>) size += chunk.length;
        return size;
      }),
    );
    expect(Math.min(...sizes)).to.be.greaterThan(1_800_000);
    expect(ended('ListSessionRows', 'OK').length).to.equal(calls);
    await untilWaiting(0);
    session.destroy();
  });

  it('has its waiting calls ended when it disconnects', async () => {
    const before = ended('ListSessionRows', 'OK').length;
    const { body } = await createLarge();
    const { session } = callWithoutReading(body);
    await untilWaiting(calls - open);
    session.destroy();
    await harness.logged(() => {
      const answered = ended('ListSessionRows', 'OK').length - before;
      return answered + ended('ListSessionRows', 'CANCELLED').length === calls;
    });
    expect(ended('ListSessionRows', 'CANCELLED')).to.have.length.at.least(calls / 2);
    await untilWaiting(0);
  });
});
