import * as relations from '../../src/gen/sessionimport/v1/session_relations';
import type {
  GetSessionResponse,
  ListSessionRowsResponse,
} from '../../src/gen/sessionimport/v1/session_read';
import { select, type Row } from './rows';

/** The message of each relation. */
export const messages: Readonly<Record<string, { fromPartial(part: object): object }>> = {
  id_verifications: relations.IdVerification,
  nfc_verifications: relations.NfcVerification,
  faces: relations.Face,
  liveness_checks: relations.LivenessCheck,
  face_matches: relations.FaceMatch,
  aml_screenings: relations.AmlScreening,
  aml_hits: relations.AmlHit,
  locations: relations.Location,
  proofs_of_address: relations.ProofOfAddress,
  phone_verifications: relations.PhoneVerification,
  email_verifications: relations.EmailVerification,
  database_validations: relations.DatabaseValidation,
  questionnaire_responses: relations.QuestionnaireResponse,
  reviews: relations.Review,
  logs: relations.LogEntry,
  registry_checks: relations.RegistryCheck,
  key_people_checks: relations.KeyPeopleCheck,
  key_people: relations.KeyPerson,
  documents: relations.BusinessDocument,
};

/** What the contract nests, and the relation that it is of. */
export const nested: Readonly<Record<string, string>> = {
  hits: 'aml_hits',
  key_people: 'key_people',
  owners: 'key_people',
};

const enums: Readonly<Record<string, Readonly<Record<number, string>>>> = {
  method: relations.LivenessMethod,
  entity_type: relations.ScreenedEntityType,
  validation_type: relations.DatabaseValidationType,
  match_type: relations.DatabaseMatchType,
  party_kind: relations.PartyKind,
  log_type: relations.LogType,
};

/** Rows by relation, flat, by the names of their columns, in order. */
export type FlatRows = Readonly<Record<string, readonly Row[]>>;

export function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** The rows of an answer, as the database would order them; what is nested stands in its relation. */
export function rowsIn({
  relations: shown,
}: Pick<GetSessionResponse | ListSessionRowsResponse, 'relations'>): FlatRows {
  const flat: Record<string, Row[]> = {};
  const add = (relation: string, message: object): void => {
    const row: Record<string, unknown> = {};
    for (const [name, value] of Object.entries(message)) {
      const column = snakeCase(name);
      const child = nested[column];
      if (child) for (const each of value as object[]) add(child, each);
      else if (value !== undefined) row[column] = plain(column, value);
    }
    (flat[relation] ??= []).push(row);
  };
  for (const [name, rows] of Object.entries(shown?.value ?? {})) {
    for (const row of rows as object[]) add(snakeCase(name), row);
  }
  for (const rows of Object.values(flat)) rows.sort((a, b) => compare(keyOf(a), keyOf(b)));
  return flat;
}

function plain(column: string, value: unknown): unknown {
  const names = enums[column];
  if (!names) return value;
  const name = names[value as number] ?? '';
  return name.endsWith('UNSPECIFIED') ? null : name;
}

/** The rows of a session as an answer must show them, from what the database holds. */
export async function expectedRows(rows: FlatRows): Promise<FlatRows> {
  const expected: Record<string, Row[]> = {};
  for (const [table, list] of Object.entries(rows)) {
    if (list.length === 0) continue;
    const types = await typesOf(table);
    const relation = table.replace(/^(user|business)_/, '');
    expected[relation] = list.map((row) =>
      Object.fromEntries(
        Object.entries(row).flatMap(([column, value]) => {
          const shown =
            value === null ? null : expectedValue(column, types.get(column) ?? '', value);
          // A choice that was not made is unspecified; everything else that is null is absent.
          return shown === null && column !== 'match_type' ? [] : [[column, shown]];
        }),
      ),
    );
  }
  return expected;
}

function expectedValue(column: string, type: string, value: unknown): unknown {
  switch (type) {
    case 'binary':
      return uuidOf(value as Buffer);
    case 'tinyint':
      return Number(value) === 1;
    case 'int':
    case 'decimal':
      return Number(value);
    case 'datetime':
      return new Date(`${String(value).replace(' ', 'T').slice(0, 23)}Z`);
    case 'enum':
      return `${prefixes[column] ?? ''}_${String(value).toUpperCase()}`;
    default:
      return value;
  }
}

const prefixes: Readonly<Record<string, string>> = {
  method: 'LIVENESS_METHOD',
  entity_type: 'SCREENED_ENTITY_TYPE',
  validation_type: 'DATABASE_VALIDATION_TYPE',
  match_type: 'DATABASE_MATCH_TYPE',
  party_kind: 'PARTY_KIND',
  log_type: 'LOG_TYPE',
};

function uuidOf(bytes: Buffer): string {
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** The types of a table's columns. */
export async function typesOf(table: string): Promise<ReadonlyMap<string, string>> {
  const columns = await select(
    `SELECT COLUMN_NAME AS name, DATA_TYPE AS type FROM information_schema.COLUMNS
     WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ? ORDER BY ORDINAL_POSITION`,
    [table],
  );
  return new Map(columns.map(({ name, type }) => [String(name), String(type)]));
}

function keyOf(row: Row): number[] {
  return ['check_ordinal', 'screening_ordinal', 'ordinal'].map((name) => Number(row[name] ?? 0));
}

function compare(a: readonly number[], b: readonly number[]): number {
  const index = a.findIndex((value, at) => value !== b[at]);
  return index < 0 ? 0 : (a[index] ?? 0) - (b[index] ?? 0);
}
