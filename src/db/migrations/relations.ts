import type { Knex } from 'knex';
import { createTable } from './changes';
import { flags, json, moment, scores, texts, uuid } from './columns';

type Build = (table: Knex.CreateTableBuilder) => void;

/**
 * Creates a relation: a table whose rows belong to one session and are keyed by (session_id,
 * ordinal), so that a session's rows lie together on disk and a copy differs in session_id alone.
 */
export async function createRelation(
  knex: Knex,
  sessions: string,
  name: string,
  build: Build,
): Promise<void> {
  await createTable(knex, name, (table) => {
    uuid(table, 'session_id').notNullable();
    table.integer('ordinal').unsigned().notNullable();
    build(table);
    commonColumns(table);
    table.primary(['session_id', 'ordinal']);
    table.foreign('session_id').references('id').inTable(sessions).onDelete('CASCADE');
  });
}

/**
 * Creates a relation below another: its rows name their parent by the parent's ordinal within the
 * same session, so that the reference stays right in a copy.
 */
export async function createChildRelation(
  knex: Knex,
  parent: { readonly table: string; readonly ordinal: string },
  name: string,
  build: Build,
): Promise<void> {
  await createTable(knex, name, (table) => {
    uuid(table, 'session_id').notNullable();
    table.integer(parent.ordinal).unsigned().notNullable();
    table.integer('ordinal').unsigned().notNullable();
    build(table);
    commonColumns(table);
    table.primary(['session_id', parent.ordinal, 'ordinal']);
    table
      .foreign(['session_id', parent.ordinal])
      .references(['session_id', 'ordinal'])
      .inTable(parent.table)
      .onDelete('CASCADE');
  });
}

function commonColumns(table: Knex.CreateTableBuilder): void {
  table.string('node_id', 64);
  table.string('status', 32).notNullable();
  moment(table, 'created_at').notNullable();
  moment(table, 'updated_at').notNullable();
}

/** The relations that user and business sessions share, in the order in which they are created. */
export async function createSharedRelations(
  knex: Knex,
  sessions: string,
  prefix: string,
): Promise<void> {
  const relation = (name: string, build: Build) =>
    createRelation(knex, sessions, `${prefix}_${name}`, build);

  await relation('aml_screenings', (table) => {
    table.enu('entity_type', ['person', 'company']).notNullable();
    table.integer('total_hits').unsigned().notNullable();
    scores(table, 'score');
    table.boolean('is_ongoing_monitoring_enabled').notNullable();
    json(table, 'screened_data', 'warnings');
  });
  await createChildRelation(
    knex,
    { table: `${prefix}_aml_screenings`, ordinal: 'screening_ordinal' },
    `${prefix}_aml_hits`,
    (table) => {
      table.string('hit_id', 128).notNullable();
      table.string('caption', 512);
      scores(table, 'match_score');
      table.string('review_status', 32).notNullable();
      json(table, 'categories', 'hit');
    },
  );
  await relation('phone_verifications', (table) => {
    table.string('phone_number', 32);
    table.string('country_code', 8);
    table.string('carrier', 255);
    flags(table, 'is_disposable', 'is_virtual');
    table.string('verification_method', 32);
    table.integer('verification_attempts').unsigned().notNullable();
    moment(table, 'verified_at');
    json(table, 'lifecycle', 'matches', 'warnings');
  });
  await relation('email_verifications', (table) => {
    // RFC 5321, section 4.5.3.1: a path is at most 256 octets, with its brackets.
    table.string('email', 254);
    flags(table, 'is_breached', 'is_disposable', 'is_undeliverable');
    table.integer('verification_attempts').unsigned().notNullable();
    moment(table, 'verified_at');
    json(table, 'breaches', 'lifecycle', 'matches', 'warnings');
  });
  await relation('locations', (table) => {
    table.string('ip_address', 45);
    table.string('ip_country', 2);
    texts(table, 'ip_state', 'ip_city', 'isp', 'organization');
    table.decimal('latitude', 9, 6);
    table.decimal('longitude', 9, 6);
    flags(table, 'is_vpn_or_tor', 'is_data_center');
    texts(table, 'device_brand', 'device_model', 'browser', 'os', 'platform');
    table.string('device_fingerprint', 128);
    table.string('time_zone', 64);
    json(table, 'distances', 'matches', 'warnings');
  });
  await relation('questionnaire_responses', (table) => {
    uuid(table, 'questionnaire_id');
    table.string('title', 255);
    table.integer('version').unsigned();
    json(table, 'languages', 'sections');
  });
  await relation('reviews', (table) => {
    table.string('actor', 255);
    table.string('previous_status', 32);
    table.string('new_status', 32);
    table.text('comment');
  });
  await relation('logs', (table) => {
    table.string('activity_type', 64).notNullable();
    table.enu('log_type', ['error', 'warning', 'information']).notNullable();
    table.string('feature', 64);
    table.string('risk', 64);
    table.string('short_description', 255);
    table.text('long_description');
    json(table, 'additional_data');
  });
}

/** The names of the tables that {@link createSharedRelations} creates, in that order. */
export const sharedRelations = [
  'aml_screenings',
  'aml_hits',
  'phone_verifications',
  'email_verifications',
  'locations',
  'questionnaire_responses',
  'reviews',
  'logs',
];

/** Drops relations, children before parents. */
export async function dropRelations(
  knex: Knex,
  prefix: string,
  names: readonly string[],
): Promise<void> {
  for (const name of names.toReversed()) await knex.schema.dropTableIfExists(`${prefix}_${name}`);
}
