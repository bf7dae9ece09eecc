import { expect } from 'chai';
import { toBinary, type SessionId } from '../../src/model/ids';
import {
  ListShareTokensRequest,
  SessionShareService,
  ShareSessionRequest,
} from '../../src/gen/sessionimport/v1/session_share';
import { failureOf } from '../support/client';
import { addShareTokens, createSession } from '../support/fixtures';
import { pause } from '../support/helpers';
import type { Passing } from '../support/mysql-proxy';
import { select } from '../support/rows';
import { startHarness, startProxiedHarness, type ProxiedHarness } from '../support/service';

const { shareSession, revokeShareToken, listShareTokens } = SessionShareService;

describe('RevokeShareToken', () => {
  it('and an import at the same time agree on which of them was first', async () => {
    const harness = await startHarness();
    const { db, client, source, target } = harness;
    const endings = new Set<string>();
    for (let round = 0; round < 40; round++) {
      const sessionId = await createSession(db, source, 'user');
      const { shareToken, details } = await client.call(
        shareSession,
        source.apiKey,
        ShareSessionRequest.fromPartial({ sessionId, forApplicationId: target.applicationId }),
      );
      const id = details?.shareTokenId ?? '';
      const imported = async () =>
        client.import(target.apiKey, { shareToken, workflowId: target.workflows.user }).then(
          () => 'imported',
          async (error: unknown) => (await failureOf(Promise.reject(error as Error))).reason,
        );
      // In turns, each of them has a start of up to ten milliseconds.
      const later = async <T>(work: () => Promise<T>): Promise<T> => {
        await pause(round % 10);
        return work();
      };
      const revoking = () =>
        client.call(revokeShareToken, source.apiKey, {
          target: { $case: 'shareTokenId', value: id },
        });
      const [ending = '', { redeemed }] = await Promise.all(
        round % 2 === 0 ? [imported(), later(revoking)] : [later(imported), revoking()],
      );
      endings.add(ending);
      expect([ending, redeemed]).to.be.deep.oneOf([
        ['imported', 1],
        ['SHARE_TOKEN_REVOKED', 0],
      ]);
      const { shareTokens } = await client.call(
        listShareTokens,
        source.apiKey,
        ListShareTokensRequest.fromPartial({ sessionId }),
      );
      expect(shareTokens[0]?.redeemedAt !== undefined).to.equal(ending === 'imported');
    }
    expect(endings).to.include('SHARE_TOKEN_REVOKED');
    await harness.stop();
  });
});

describe('RevokeShareToken, when its connection is lost', () => {
  let harness: ProxiedHarness;
  before(async () => {
    harness = await startProxiedHarness();
  });
  after(() => harness.stop());
  afterEach(() => {
    harness.proxy.intercept = undefined;
  });

  async function shared(tokens: number) {
    const { db, source, target } = harness;
    const sessionId = await createSession(db, source, 'user');
    await addShareTokens(db, source, target, sessionId, tokens);
    return sessionId;
  }

  const revoke = (sessionId: SessionId) =>
    harness.client.call(revokeShareToken, harness.source.apiKey, {
      target: { $case: 'sessionId', value: sessionId },
    });

  /** Its own statements, and not those that look its caller up. */
  function onStatements(act: (statement: Passing, index: number) => Promise<void> | void): void {
    let index = 0;
    harness.proxy.intercept = (statement) =>
      /share_tokens|FOR UPDATE|^BEGIN|^COMMIT/.test(statement.sql)
        ? act(statement, index++)
        : undefined;
  }

  for (const [when, fault] of [
    [
      'before any statement',
      (statement: Passing) => {
        statement.cut();
      },
    ],
    [
      'with the answer of any statement',
      async (statement: Passing) => {
        await statement.answered();
        statement.cut();
      },
    ],
  ] as const) {
    it(`${when}, counts the tokens that it takes back, and not those of an earlier call`, async () => {
      const statements: string[] = [];
      const measured = await shared(1);
      onStatements(({ sql }) => void statements.push(sql));
      expect(await revoke(measured)).to.deep.equal({ revoked: 1, redeemed: 0 });
      // Whose session, which tokens, BEGIN with the lock, the marks, COMMIT, how many were redeemed.
      expect(statements).to.have.length(6);
      for (const victim of statements.keys()) {
        const sessionId = await shared(2);
        await revoke(sessionId);
        await addShareTokens(harness.db, harness.source, harness.target, sessionId, 3);
        onStatements((statement, index) => (index === victim ? fault(statement) : undefined));
        expect(await revoke(sessionId), statements[victim]).to.deep.equal({
          revoked: 3,
          redeemed: 0,
        });
        expect(await revoke(sessionId)).to.deep.equal({ revoked: 0, redeemed: 0 });
      }
    });
  }

  it('in a later one of its transactions, counts those of the earlier ones', async () => {
    const sessionId = await shared(1_200);
    let commits = 0;
    onStatements(async (statement) => {
      if (!statement.sql.startsWith('COMMIT') || ++commits !== 2) return;
      await statement.answered();
      statement.cut();
    });
    expect(await revoke(sessionId)).to.deep.equal({ revoked: 1_200, redeemed: 0 });
    expect(commits).to.equal(4);
  });

  it('for good, has taken back all that can still be used, or none, however many have expired', async () => {
    const { db, source, target } = harness;
    const expired = { expires_at: new Date(Date.now() - 60_000) };
    for (const answered of [0, 1]) {
      const sessionId = await shared(0);
      await addShareTokens(db, source, target, sessionId, 1_500, expired);
      const live = await addShareTokens(db, source, target, sessionId, 1_000);
      let commits = 0;
      onStatements((statement) => {
        if (statement.sql.startsWith('COMMIT') && ++commits > answered) statement.cut();
      });
      expect((await failureOf(revoke(sessionId))).reason).to.equal('DATABASE_UNAVAILABLE');
      harness.proxy.intercept = undefined;
      const [marked] = await select(
        'SELECT COUNT(*) AS count FROM share_tokens WHERE id IN (?) AND revoked_at IS NOT NULL',
        [live.map(toBinary)],
      );
      expect(Number(marked?.['count'])).to.equal(answered * live.length);
      const { revoked } = await revoke(sessionId);
      expect(revoked).to.equal(live.length - answered * live.length);
    }
  });
});
