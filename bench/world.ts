import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { atExit, removeFolder } from '../scripts/mysql/cleanup';
import { createApiKey, createApplication, createWorkflow } from '../src/store/accounts';
import { seedDemo } from '../src/demo';
import type { Database } from '../src/db/database';
import type { SessionId } from '../src/model/ids';
import type { Privilege } from '../src/model/privileges';
import type { SessionKind } from '../src/model/session';
import { leaseBlocks } from '../src/store/session-numbers';
import { extendKeySet } from '../src/token/key-files';
import { generateSigningKey } from '../src/token/signing';
import { createCopiesTable, multiply, rowsOf } from './copies';
import type { Import, Importing, World } from './subjects';

/** Fills a migrated database with an application that shares. */
export async function createWorld(db: Database, databaseUrl: string): Promise<World> {
  const folder = mkdtempSync(path.join(tmpdir(), 'session-import-bench-'));
  atExit(() => {
    removeFolder(folder);
  });
  const jwks = path.join(folder, 'jwks.json');
  const key = await generateSigningKey({
    algorithm: 'EdDSA',
    kid: undefined,
    applicationId: undefined,
  });
  await (await extendKeySet(jwks, key.verificationJwk)).save();

  await createCopiesTable(db);
  const { source } = await seedDemo(db);
  const workflow = (kind: SessionKind) =>
    createWorkflow(db, { applicationId: source.applicationId, kind, name: kind });
  return {
    databaseUrl,
    source: source.applicationId,
    sourceWorkflows: { user: await workflow('user'), business: await workflow('business') },
    templates: { user: source.userSessionId, business: source.businessSessionId },
    signingKey: key.privateJwk,
    jwks,
  };
}

/** Registers applications that import, each with one API key. */
export async function createImporting(
  db: Database,
  count: number,
  privileges: readonly Privilege[] = ['write:sessions'],
): Promise<Importing[]> {
  const created: Importing[] = [];
  for (let index = 0; index < count; index++) {
    const applicationId = await createApplication(db, `importing ${index}`);
    const key = await createApiKey(db, {
      applicationId,
      name: 'bench',
      privileges,
      expiresAt: null,
    });
    const workflow = (kind: SessionKind) => createWorkflow(db, { applicationId, kind, name: kind });
    created.push({
      applicationId,
      apiKey: key.apiKey,
      apiKeyId: key.id,
      workflows: { user: await workflow('user'), business: await workflow('business') },
    });
  }
  // Their first session numbers, so that nobody has to begin with that.
  await leaseBlocks(
    db,
    created.map(({ applicationId }) => applicationId),
    1,
  );
  return created;
}

/** Source sessions and the applications that may still import them: no pair is given out twice. */
export class Supply {
  private given = 0;
  private static number = 1_000_000_000;

  constructor(
    private readonly kind: SessionKind,
    private readonly sources: readonly SessionId[],
    private readonly importing: readonly Importing[],
    /** The rows of each session. */
    readonly rows: number,
  ) {}

  /** Makes source sessions out of a template, for applications that have not imported any of them. */
  static async create(
    db: Database,
    world: World,
    options: {
      readonly kind: SessionKind;
      readonly sources: number;
      readonly importing: number;
      readonly template?: SessionId;
    },
  ): Promise<Supply> {
    const { kind } = options;
    const template = options.template ?? world.templates[kind];
    const sources = await multiply(db, world, kind, template, options.sources);
    const importing = await createImporting(db, options.importing);
    return new Supply(kind, sources, importing, await rowsOf(db, kind, template));
  }

  /** The same sessions, for other applications. */
  for(importing: readonly Importing[]): Supply {
    return new Supply(this.kind, this.sources, importing, this.rows);
  }

  /** Neighbours in the list are of different sessions, and as far as can be for different applications. */
  take(count: number): Import[] {
    return Array.from({ length: count }, () => {
      const turn = this.given++;
      const round = Math.floor(turn / this.sources.length);
      const source = this.sources[turn % this.sources.length];
      const importing =
        this.importing[((turn % this.sources.length) + round) % this.importing.length];
      if (!source || !importing || round >= this.importing.length) {
        throw new Error('the benchmark has run out of sessions to import');
      }
      const number = Supply.number++;
      return { kind: this.kind, importing, source, vendorData: `customer ${number}`, number };
    });
  }
}
