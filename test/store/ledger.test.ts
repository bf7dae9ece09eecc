import { expect } from 'chai';
import { noRules } from '../../src/model/acceptance';
import type { Database } from '../../src/db/database';
import { read, write } from '../../src/db/query';
import { newId, type RequestId, type SessionId } from '../../src/model/ids';
import { insertClaims, ledgerEntries, ledgerKey } from '../../src/store/ledger/entries';
import { createTenant } from '../support/fixtures';
import { databaseUrl, open } from '../support/mysql';
import { counting } from '../support/rows';

describe('the ledger', () => {
  let db: Database;
  before(() => {
    db = open(databaseUrl());
  });
  after(() => db.destroy());

  it('reads a kept answer for a request with its id, and for no other', async () => {
    const { applicationId } = await createTenant(db);
    const answer = Buffer.alloc(2 ** 19, 'answer');
    const claims = Array.from({ length: 8 }, () => ({
      applicationId,
      sourceSessionId: newId<SessionId>(),
      sourceApplicationId: newId<never>(),
      kind: 'user' as const,
      sourceStatus: 'Approved' as const,
      sourceUpdatedAt: '2026-01-01 00:00:00.000000',
      verifiedAt: null,
      acceptance: noRules,
      connectionId: null,
      scope: null,
      sessionId: newId<SessionId>(),
      trustReview: false,
      actor: { apiKeyId: newId<never>(), gateway: null },
      token: null,
      linkedTo: null,
      createdAt: new Date(),
      request: { id: newId<RequestId>(), digest: Buffer.alloc(32), answer },
    }));
    await write(db, insertClaims(claims));

    /** The answers that are read, and how many pages of InnoDB that takes, of 16 KiB each. */
    const answersFor = async (ids: readonly (RequestId | null)[], belowPages: number) => {
      const wanted = claims.map(({ sourceSessionId }, index) => {
        const id = ids[index] ?? null;
        return { applicationId, sourceSessionId, idempotency: id && { id } };
      });
      const { result, grown } = await counting(
        ['Innodb_buffer_pool_read_requests'],
        belowPages,
        () => read(db, ledgerEntries(wanted)),
      );
      expect(result.size).to.equal(claims.length);
      const answers = claims.map((claim) => result.get(ledgerKey(claim))?.request.answer);
      return { answers: answers.map((each) => each?.equals(answer) ?? false), pages: grown };
    };

    const pagesOfAnswer = answer.length / 16_384;
    const none = await answersFor([], pagesOfAnswer);
    expect(none.answers).not.to.include(true);
    expect(none.pages).to.be.lessThan(pagesOfAnswer);
    const others = await answersFor(
      claims.map(() => newId<RequestId>()),
      pagesOfAnswer,
    );
    expect(others.answers).not.to.include(true);
    expect(others.pages).to.be.lessThan(pagesOfAnswer);
    const [first] = claims;
    const one = await answersFor([first?.request.id ?? null], 3 * pagesOfAnswer);
    expect(one.answers).to.deep.equal(claims.map((claim) => claim === first));
    expect(one.pages).to.be.lessThan(3 * pagesOfAnswer);
  });
});
