import * as fc from 'fast-check';
import { toBinary, type SessionId } from '../../src/model/ids';
import type { Database } from '../../src/db/database';
import { kindSchemas, type Below, type Relation } from '../../src/model/relations';
import type { SessionKind } from '../../src/model/session';
import { select, type Row } from './rows';

interface Column {
  readonly name: string;
  readonly type: string;
  readonly columnType: string;
  readonly length: number;
  readonly precision: number;
  readonly scale: number;
  readonly nullable: boolean;
}

/** Columns that the structure decides, and not chance. */
function structuralColumns({ key, below }: Relation): ReadonlySet<string> {
  return new Set(['session_id', ...key, ...(below?.tree ? [below.tree.ordinal] : [])]);
}

/** Random rows for every relation of a kind, by table, ready to be inserted but for the session. */
export type RandomRelations = Readonly<Record<string, readonly Record<string, unknown>[]>>;

/**
 * Any session of a kind: every relation has rows, every column takes nulls, unicode, its longest
 * values and JSON of any depth, and key people form a tree at least four levels deep.
 */
export async function anyRelations(kind: SessionKind): Promise<fc.Arbitrary<RandomRelations>> {
  const tables: Record<string, fc.Arbitrary<Record<string, unknown>[]>> = {};
  for (const relation of kindSchemas[kind].relations) {
    const { table, below } = relation;
    const columns = await columnsOf(relation);
    const row = fc.record(
      Object.fromEntries(columns.map((column) => [column.name, anyValue(column)])),
    );
    const least = below?.tree ? 6 : 1;
    tables[table] = fc.array(row, { minLength: least, maxLength: least + 4, size: 'max' });
  }
  return fc.record(tables).map((rows) => placeAll(kind, rows));
}

/** Gives every row its place: ordinals, parents, and the tree of key people. */
function placeAll(
  kind: SessionKind,
  rows: Readonly<Record<string, Record<string, unknown>[]>>,
): RandomRelations {
  const placed = kindSchemas[kind].relations.map(({ table, below }) => {
    const list = rows[table] ?? [];
    const parentRows = below ? (rows[`${kind}_${below.relation}`]?.length ?? 1) : 1;
    return [
      table,
      list.map((row, index) => ({
        ...row,
        // A gap before the last row: ordinals need not be dense.
        ordinal: index === list.length - 1 ? index + 3 : index,
        ...(below
          ? { [below.ordinal]: placeOf(parentOf(below, index, parentRows), parentRows) }
          : {}),
        ...(below?.tree ? { [below.tree.ordinal]: parentInTree(index) } : {}),
      })),
    ] as const;
  });
  return Object.fromEntries(placed);
}

/** The ordinal of the row at an index of a list with that gap. */
function placeOf(index: number, length: number): number {
  return index === length - 1 ? index + 3 : index;
}

/** Children take turns with their parents, but a tree stays below one. */
function parentOf({ tree }: Below, index: number, parentRows: number): number {
  return tree ? 0 : index % parentRows;
}

/** A chain of four, and then everybody else below somebody in it. */
function parentInTree(index: number): number | null {
  if (index === 0) return null;
  return index <= 3 ? index - 1 : index % 4;
}

async function columnsOf(relation: Relation): Promise<Column[]> {
  const structural = structuralColumns(relation);
  const rows = await select(
    `SELECT COLUMN_NAME AS name, DATA_TYPE AS type, COLUMN_TYPE AS columnType,
       COALESCE(CHARACTER_MAXIMUM_LENGTH, 0) AS length, COALESCE(NUMERIC_PRECISION, 0) AS \`precision\`,
       COALESCE(NUMERIC_SCALE, 0) AS scale, IS_NULLABLE = 'YES' AS nullable
     FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ?`,
    [relation.table],
  );
  return rows
    .map((row: Row) => ({
      name: String(row['name']),
      type: String(row['type']),
      columnType: String(row['columnType']),
      length: Number(row['length']),
      precision: Number(row['precision']),
      scale: Number(row['scale']),
      nullable: Number(row['nullable']) === 1,
    }))
    .filter(({ name }) => !structural.has(name));
}

function anyValue(column: Column): fc.Arbitrary<unknown> {
  const value = anyFilledValue(column);
  return column.nullable ? fc.option(value, { freq: 5 }) : value;
}

function anyFilledValue(column: Column): fc.Arbitrary<unknown> {
  switch (column.type) {
    case 'varchar':
    case 'text':
      return anyText(column);
    case 'binary':
      return fc
        .uint8Array({ minLength: column.length, maxLength: column.length })
        .map((bytes) => Buffer.from(bytes));
    case 'enum':
      return fc.constantFrom(...[...column.columnType.matchAll(/'([^']+)'/g)].map(([, v]) => v));
    case 'tinyint':
      return fc.boolean();
    case 'int':
      return fc.nat(4_294_967_295 - 1).map((n) => (n % 3 === 0 ? 4_294_967_295 : n));
    case 'decimal':
      return anyDecimal(column);
    case 'date':
      return anyDate().map((date) => date.toISOString().slice(0, 10));
    case 'datetime':
      return fc
        .tuple(anyDate(), fc.nat(999_999))
        .map(
          ([date, micros]) =>
            `${date.toISOString().slice(0, 19).replace('T', ' ')}.${String(micros).padStart(6, '0')}`,
        );
    case 'json':
      return anyJson(95);
    // What MariaDB makes of it, which takes 32 levels where MySQL takes 100.
    case 'longtext':
      return anyJson(30);
    default:
      throw new Error(`the tests do not know what goes into a column of type ${column.type}`);
  }
}

/** Like fast-check's own `binary`, which first makes a table of all the million characters. */
const anyCharacter = fc.nat(0x10ffff - 0x800).map((n) => {
  const [firstSurrogate, surrogates] = [0xd800, 0x800];
  return String.fromCodePoint(n < firstSurrogate ? n : n + surrogates);
});

function anyText({ type, length }: Column): fc.Arbitrary<string> {
  // A TEXT column holds 65,535 bytes, and a character takes up to four.
  const most = type === 'text' ? Math.floor(length / 4) : length;
  const texts = fc.oneof(
    fc.constantFrom('', ' ', "'; DROP TABLE x; --", '?', '\\', '\u0000', 'Ã\u0301 ß 李 🇺🇳'),
    fc.constantFrom('x', 'é', '李', '😀').map((character) => character.repeat(most)),
    fc.string({ unit: anyCharacter, maxLength: 40 }),
  );
  return texts.map((text) => Array.from(text).slice(0, most).join(''));
}

function anyDecimal({ precision, scale }: Column): fc.Arbitrary<string> {
  const most = 10 ** precision - 1;
  return fc
    .oneof(fc.constantFrom(0, most, -most), fc.integer({ min: -most, max: most }))
    .map((unscaled) => (unscaled / 10 ** scale).toFixed(scale));
}

function anyDate(): fc.Arbitrary<Date> {
  return fc.date({
    min: new Date('1000-01-01T00:00:00Z'),
    max: new Date('9999-12-31T00:00:00Z'),
    noInvalidDate: true,
  });
}

function anyJson(deepest: number): fc.Arbitrary<string> {
  return fc.oneof(
    fc.jsonValue({ maxDepth: 4, stringUnit: anyCharacter }).map((value) => JSON.stringify(value)),
    fc.constantFrom('{}', '[]', 'null', '1.0', '12345678901234567890', '-0', '"\\u0000"', '1e-300'),
    fc.nat(deepest).map((depth) => '{"a":['.repeat(depth / 2) + '1' + ']}'.repeat(depth / 2)),
  );
}

/** Inserts random rows for a session, parents before children. */
export async function insertRelations(
  db: Database,
  kind: SessionKind,
  id: SessionId,
  relations: RandomRelations,
): Promise<void> {
  for (const { table } of kindSchemas[kind].relations) {
    const rows = (relations[table] ?? []).map((row) => ({ session_id: toBinary(id), ...row }));
    if (rows.length > 0) await db(table).insert(rows);
  }
}
