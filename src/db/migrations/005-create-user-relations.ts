import type { Knex } from 'knex';
import { dates, json, media, scores, texts, uuid } from './columns';
import { createRelation, createSharedRelations, dropRelations, sharedRelations } from './relations';

export async function up(knex: Knex): Promise<void> {
  const relation = (name: string, build: (table: Knex.CreateTableBuilder) => void) =>
    createRelation(knex, 'user_sessions', `user_${name}`, build);

  await relation('id_verifications', (table) => {
    table.string('verification_method', 32);
    table.string('document_type', 64);
    table.string('document_subtype', 64);
    table.string('document_number', 64);
    table.string('personal_number', 64);
    dates(table, 'date_of_birth', 'date_of_issue', 'expiration_date');
    table.string('issuing_state', 3);
    texts(table, 'first_name', 'last_name');
    table.string('full_name', 512);
    table.string('gender', 1);
    table.string('nationality', 3);
    table.string('address', 512);
    table.string('formatted_address', 512);
    texts(table, 'place_of_birth');
    table.string('marital_status', 32);
    media(table, 'portrait_image', 'front_image', 'back_image');
    media(table, 'full_front_image', 'full_back_image', 'front_video', 'back_video');
    scores(table, 'front_image_quality_score', 'back_image_quality_score');
    json(table, 'mrz', 'parsed_address', 'extra_fields', 'extra_files', 'matches', 'warnings');
  });
  await relation('nfc_verifications', (table) => {
    json(table, 'chip_data', 'authenticity', 'certificate_summary');
    table.boolean('is_nfc_skipped').notNullable();
    table.string('skip_reason', 255);
    media(table, 'portrait_image', 'signature_image');
    json(table, 'warnings');
  });
  await relation('faces', (table) => {
    media(table, 'reference_image');
    table.string('embedding_reference', 512);
    scores(table, 'quality', 'luminance');
  });
  await relation('liveness_checks', (table) => {
    table.enu('method', ['ACTIVE_3D', 'FLASHING', 'PASSIVE']).notNullable();
    scores(table, 'score', 'age_estimation');
    media(table, 'reference_image', 'video');
    json(table, 'matches', 'warnings');
  });
  await relation('face_matches', (table) => {
    scores(table, 'score');
    media(table, 'source_image', 'target_image');
    uuid(table, 'source_image_session_id');
    json(table, 'warnings');
  });
  await relation('proofs_of_address', (table) => {
    table.string('document_type', 64);
    table.string('document_subtype', 64);
    table.string('document_language', 35);
    texts(table, 'issuer');
    dates(table, 'issue_date', 'expiration_date');
    table.string('issuing_state', 3);
    table.string('poa_address', 512);
    json(table, 'parsed_address');
    table.string('name_on_document', 512);
    scores(table, 'name_match_score', 'expected_name_match_score');
    media(table, 'document_file');
    json(table, 'document_metadata', 'extra_fields', 'warnings');
  });
  await relation('database_validations', (table) => {
    table.string('issuing_state', 3);
    table.enu('validation_type', ['one_by_one', 'two_by_two']).notNullable();
    table.enu('match_type', ['full_match', 'partial_match', 'no_match']);
    json(table, 'screened_data', 'validations', 'errors', 'warnings');
  });
  await createSharedRelations(knex, 'user_sessions', 'user');
}

export async function down(knex: Knex): Promise<void> {
  await dropRelations(knex, 'user', [
    'id_verifications',
    'nfc_verifications',
    'faces',
    'liveness_checks',
    'face_matches',
    'proofs_of_address',
    'database_validations',
    ...sharedRelations,
  ]);
}
