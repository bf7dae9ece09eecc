import { fromBinary } from '../../model/ids';
import { BusinessRelations, UserRelations } from '../../gen/sessionimport/v1/session_relations';
import type { Relation } from '../../model/relations';
import type { SessionKind } from '../../model/session';
import type { Row } from '../../store/relations/read';

/** The relations of a session, as the contract writes them. */
export type WireRelations =
  | { readonly $case: 'user'; readonly value: UserRelations }
  | { readonly $case: 'business'; readonly value: BusinessRelations };

/**
 * Writes rows as messages. The contract's fields are the columns, so the generated code does nearly all
 * of it, by protobuf's rules for JSON.
 *
 * @param rows by the name of their relation, as {@link jsonRow} makes them; children stand in their
 * relation, or in their parents.
 */
export function wireRelations(
  kind: SessionKind,
  rows: Readonly<Record<string, readonly Row[]>>,
): WireRelations {
  return kind === 'user'
    ? { $case: 'user', value: UserRelations.fromJSON(rows) }
    : { $case: 'business', value: BusinessRelations.fromJSON(rows) };
}

/** A row with its values in protobuf's JSON form. */
export function jsonRow({ enums }: Relation, row: Row): Row {
  return Object.fromEntries(
    Object.entries(row).map(([column, value]) => {
      if (Buffer.isBuffer(value)) return [column, fromBinary(value)];
      const prefix = enums[column];
      const isChoice = prefix !== undefined && typeof value === 'string';
      return [column, isChoice ? prefix + value.toUpperCase() : value];
    }),
  );
}

/** What a field without text takes at most, in bytes: a number, a choice or a time. */
const bytesOfField = 16;

/** What a text takes besides its bytes: its tag and its length. */
const bytesOfTag = 6;

/**
 * About how many bytes a row takes in a message, and not fewer. To encode it for that would take as much time and memory
 * again as to answer with it.
 */
export function sizeOf({ enums }: Relation, row: Row): number {
  let bytes = bytesOfField;
  for (const [column, value] of Object.entries(row)) {
    if (value === null) continue;
    const isText = typeof value === 'string' && enums[column] === undefined;
    bytes += isText ? Buffer.byteLength(value) + bytesOfTag : bytesOfField;
  }
  return bytes;
}
