import { expect } from 'chai';
import { openMultiDatabase } from '../../src/db/connection';
import type { MultiDatabase } from '../../src/db/database';
import { newId, toBinary, type ApplicationId } from '../../src/model/ids';
import { createRetry } from '../../src/db/retry';
import { RefusalRecorder } from '../../src/import/refusal-recorder';
import type { Refusal } from '../../src/store/refusals';
import { createLogger } from '../../src/telemetry/log';
import { databaseUrl } from '../support/mysql';

describe('refusals', () => {
  let db: MultiDatabase;
  let refusals: RefusalRecorder;
  let applicationId: ApplicationId;
  /** The rows that each statement has inserted. */
  let inserted: number[];
  let running: number;
  let mostRunning: number;
  let lost: number;
  const logLines: string[] = [];

  beforeEach(() => {
    db = openMultiDatabase({ url: databaseUrl(), poolSize: 5, lockWaitSeconds: 10 });
    applicationId = newId();
    inserted = [];
    running = mostRunning = lost = 0;
    db.on('query', ({ sql }: { readonly sql: string }) => {
      if (sql.includes('import_refusals')) mostRunning = Math.max(mostRunning, ++running);
    });
    db.on(
      'query-response',
      ([results]: [{ affectedRows: number } | [{ affectedRows: number }]]) => {
        // The refusals come first, and then their events. BEGIN and COMMIT have one result, without rows.
        if (!Array.isArray(results)) return;
        running--;
        inserted.push(results[0].affectedRows);
      },
    );
    const log = createLogger(
      { level: 'debug', format: 'json' },
      { write: (line) => logLines.push(line) },
    );
    refusals = new RefusalRecorder(
      db,
      createRetry(() => undefined),
      { refusalsLost: (count) => (lost += count) },
      log,
    );
  });
  afterEach(() => db.destroy());

  const refusal = (): Refusal => ({
    applicationId,
    actor: { apiKeyId: newId(), gateway: null },
    reason: 'SHARE_TOKEN_INVALID',
    preview: false,
    acceptance: null,
    connectionId: null,
    token: undefined,
  });

  const recorded = async (): Promise<number> => {
    const [row] = (await db('import_refusals')
      .where({ application_id: toBinary(applicationId) })
      .count({ rows: '*' })) as [{ rows: number }];
    return row.rows;
  };

  it('that come together are recorded by one statement after another, all that wait by one', async () => {
    await Promise.all(Array.from({ length: 200 }, () => refusals.record(refusal())));
    expect(inserted).to.deep.equal([1, 199]);
    expect(mostRunning).to.equal(1);
    expect(await recorded()).to.equal(200);
  });

  it('are recorded in statements of a bounded size, however many wait', async () => {
    await Promise.all(Array.from({ length: 1_200 }, () => refusals.record(refusal())));
    expect(inserted).to.deep.equal([1, 500, 500, 199]);
    expect(await recorded()).to.equal(1_200);
  });

  it('are recorded when the promise is kept', async () => {
    for (let count = 1; count <= 3; count++) {
      await refusals.record(refusal());
      expect(await recorded()).to.equal(count);
    }
  });
});
