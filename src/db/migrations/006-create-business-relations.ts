import type { Knex } from 'knex';
import { dates, json, media, scores, texts, uuid } from './columns';
import {
  createChildRelation,
  createRelation,
  createSharedRelations,
  dropRelations,
  sharedRelations,
} from './relations';

export async function up(knex: Knex): Promise<void> {
  const relation = (name: string, build: (table: Knex.CreateTableBuilder) => void) =>
    createRelation(knex, 'business_sessions', `business_${name}`, build);

  await relation('registry_checks', (table) => {
    table.string('company_name', 512);
    table.string('registration_number', 64);
    table.string('country_code', 2);
    table.string('region', 64);
    table.string('company_type', 128);
    table.string('registry_status', 64);
    dates(table, 'incorporation_date');
    table.string('legal_address', 512);
    table.string('tax_number', 64);
    table.string('vat_number', 64);
    // ISO 17442: a legal entity identifier has 20 characters.
    table.string('lei', 20);
    table.string('website', 2048);
    table.text('nature_of_business');
    texts(table, 'registered_capital');
    json(table, 'alternative_names', 'ownership_structure', 'registry_data', 'warnings');
  });
  await relation('key_people_checks', (table) => {
    json(table, 'registry_officers', 'beneficial_owners', 'ubo_kyc_summary', 'warnings');
  });
  await createChildRelation(
    knex,
    { table: 'business_key_people_checks', ordinal: 'check_ordinal' },
    'business_key_people',
    (table) => {
      // The key person that this one owns through. Not a foreign key: InnoDB refuses a cascade that
      // is nested deeper than 15 levels (MySQL 8.4 manual, section 15.1.20.5), which would make a
      // session with a deep tree impossible to delete. The check keeps the tree free of cycles.
      table.integer('parent_ordinal').unsigned();
      table.check(
        '?? is null or ?? < ??',
        ['parent_ordinal', 'parent_ordinal', 'ordinal'],
        'key_person_parent_precedes',
      );
      table.enu('party_kind', ['person', 'company']).notNullable();
      json(table, 'roles');
      table.string('full_name', 512);
      dates(table, 'date_of_birth');
      table.string('nationality', 3);
      table.string('country', 3);
      scores(table, 'ownership_percentage', 'voting_percentage');
      table.boolean('is_skipped').notNullable();
      // The person's own user session, in the same application.
      uuid(table, 'kyc_session_id');
      // In a copy: what kyc_session_id was in the application that the copy came from.
      uuid(table, 'source_kyc_session_id');
    },
  );
  await relation('documents', (table) => {
    table.string('document_group', 64);
    table.string('document_type', 64);
    texts(table, 'title');
    media(table, 'file');
    json(table, 'extracted_data');
    dates(table, 'issue_date', 'expiration_date');
    json(table, 'warnings');
  });
  await createSharedRelations(knex, 'business_sessions', 'business');
}

export async function down(knex: Knex): Promise<void> {
  await dropRelations(knex, 'business', [
    'registry_checks',
    'key_people_checks',
    'key_people',
    'documents',
    ...sharedRelations,
  ]);
}
