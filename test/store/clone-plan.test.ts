import { expect } from 'chai';
import type { Database } from '../../src/db/database';
import { planClone, readCatalogue, SchemaMismatch } from '../../src/store/relations/clone-plan';
import { kindSchemas, type KindSchema } from '../../src/model/relations';
import { sessionKinds, type SessionKind } from '../../src/model/session';
import { createSigner } from '../support/fixtures';
import { createMigratedDatabase, open } from '../support/mysql';
import { ServiceProcess } from '../support/process';

describe('the check of the relations at the start', () => {
  let url: string;
  let db: Database;
  before(async () => {
    url = await createMigratedDatabase();
    db = open(url);
  });
  after(() => db.destroy());

  /** The plan for the schema as it is now. */
  const planOf = async (schema: KindSchema) => planClone(db, schema, await readCatalogue(db));

  const problemOf = async (kind: SessionKind) => {
    const error: unknown = await planOf(kindSchemas[kind]).catch((e: unknown) => e);
    expect(error).to.be.instanceOf(SchemaMismatch);
    return (error as SchemaMismatch).message;
  };

  it('passes on the schema as it is', async () => {
    for (const kind of sessionKinds) {
      const { relations } = await planOf(kindSchemas[kind]);
      expect(relations).to.have.length(kindSchemas[kind].relations.length);
    }
  });

  it('leaves out the check of foreign keys where rows refer to their session alone', async () => {
    for (const kind of sessionKinds) {
      const { relations } = await planOf(kindSchemas[kind]);
      const unchecked = relations.filter(({ cloneSql }) => cloneSql.includes('foreign_key_checks'));
      expect(unchecked.map(({ name }) => name)).to.deep.equal(
        relations.filter(({ below }) => below === undefined).map(({ name }) => name),
      );
    }
  });

  it('keeps the check where rows refer to another session too', async () => {
    await db.raw(
      'ALTER TABLE user_reviews ADD COLUMN twin BINARY(16), ADD CONSTRAINT twin FOREIGN KEY (twin) REFERENCES user_sessions (id)',
    );
    const { relations } = await planOf(kindSchemas.user);
    const reviews = relations.find(({ name }) => name === 'reviews');
    expect(reviews?.cloneSql).to.include('twin').and.not.include('foreign_key_checks');
    await db.raw('ALTER TABLE user_reviews DROP FOREIGN KEY twin, DROP COLUMN twin');
  });

  describe('of a table that hangs on a session and is not listed', () => {
    before(() =>
      db.schema.createTable('user_voice_checks', (table) => {
        table.specificType('session_id', 'binary(16)').notNullable().references('user_sessions.id');
        table.integer('ordinal').unsigned().notNullable();
        table.primary(['session_id', 'ordinal']);
      }),
    );
    after(() => db.schema.dropTable('user_voice_checks'));

    it('names it', async () => {
      expect(await problemOf('user')).to.include('table user_voice_checks');
      await planOf(kindSchemas.business);
    });

    it('makes the service refuse to start, and say which', async () => {
      const signer = await createSigner();
      const service = ServiceProcess.run(['serve'], {
        DATABASE_URL: url,
        GRPC_ADDRESS: '127.0.0.1:0',
        METRICS_ADDRESS: '127.0.0.1:0',
        SHARE_TOKEN_JWKS: signer.jwks,
        SESSION_BASE_URL: 'https://verify.example.com/session',
      });
      expect(await service.ended()).to.equal(1);
      expect(service.errors).to.include('user_voice_checks');
      await signer.remove();
    });

    it('can be told to leave it out', async () => {
      const leftOut = new Set(['user_voice_checks']);
      await planOf({ ...kindSchemas.user, leftOut });
    });
  });

  it('names a table that hangs on a session through others', async () => {
    await db.raw(
      `CREATE TABLE hit_comments (
         session_id BINARY(16), screening_ordinal INT UNSIGNED, hit_ordinal INT UNSIGNED,
         FOREIGN KEY (session_id, screening_ordinal, hit_ordinal)
           REFERENCES business_aml_hits (session_id, screening_ordinal, ordinal))`,
    );
    expect(await problemOf('business')).to.include('table hit_comments');
    await db.schema.dropTable('hit_comments');
  });

  it('names a listed relation that does not exist', async () => {
    const [first, ...others] = kindSchemas.user.relations;
    if (!first) throw new Error('there are no relations');
    const ghost = { ...first, name: 'ghosts', table: 'user_ghosts' };
    const relations = [first, ...others, ghost];
    const error: unknown = await planOf({ ...kindSchemas.user, relations }).catch(
      (e: unknown) => e,
    );
    expect((error as Error).message).to.include('relation user_ghosts does not exist');
  });

  it('names a relation that is keyed by other columns than is said', async () => {
    const relations = kindSchemas.user.relations.map((relation) =>
      relation.name === 'aml_hits' ? { ...relation, key: ['ordinal'] } : relation,
    );
    const error: unknown = await planOf({ ...kindSchemas.user, relations }).catch(
      (e: unknown) => e,
    );
    expect((error as Error).message).to.include(
      'user_aml_hits is keyed by (session_id, screening_ordinal, ordinal), and not by (session_id, ordinal)',
    );
  });

  it('names a relation that is listed before its parent', async () => {
    const relations = kindSchemas.user.relations.toReversed();
    const error: unknown = await planOf({ ...kindSchemas.user, relations }).catch(
      (e: unknown) => e,
    );
    expect((error as Error).message).to.include(
      'user_aml_hits must be listed after its parent user_aml_screenings',
    );
  });

  it('names a column of the session of which nobody has said whether a copy takes it', async () => {
    await db.schema.alterTable('business_sessions', (table) => table.string('colour'));
    expect(await problemOf('business')).to.include('business_sessions.colour');
    await db.schema.alterTable('business_sessions', (table) => table.dropColumn('colour'));
  });

  it('leaves columns that the database computes to the database', async () => {
    await db.raw(
      'ALTER TABLE user_logs ADD COLUMN loud VARCHAR(64) AS (UPPER(activity_type)) STORED',
    );
    const plan = await planOf(kindSchemas.user);
    const logs = plan.relations.find(({ name }) => name === 'logs');
    expect(logs?.cloneSql).to.include('activity_type').and.not.include('loud');
    await db.schema.alterTable('user_logs', (table) => table.dropColumn('loud'));
  });
});
