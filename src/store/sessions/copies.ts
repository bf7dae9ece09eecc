import { inKeyOrder } from '../../db/key-order';
import { query, type Binding, type Query, type Statement } from '../../db/query';
import {
  fromBinary,
  toBinary,
  type ApplicationId,
  type SessionId,
  type VendorEntityId,
} from '../../model/ids';
import type { KindSchema } from '../../model/relations';
import { detailNames, shares, type Scope } from '../../model/scope';
import type { CopiedSession, ExistingCopy } from '../../model/session';
import { scopeColumn, storedScope } from '../scope-column';
import { usableNumber } from '../session-numbers';
import { shareLock, type Locking } from './lock';
import { verifiedAt } from './verified-at';

/** Columns that are copied from the original: what describes the check. */
export const carriedColumns = ['features', ...detailNames, 'language'];

/** Columns that are computed from the original, which is called `o`, and the SQL for each. */
export const derivedColumns: Readonly<Record<string, string>> = { verified_at: verifiedAt('o') };

/**
 * Columns that are not copied: they belong to the source application's integration, or say that the original was
 * erased or withdrawn, and then it is not copied.
 */
export const leftBehindColumns = ['callback', 'metadata', 'erased_at', 'withdrawn_at'];

/** Columns for which a copy gets new values. */
export const freshColumns = [
  'id',
  'application_id',
  'session_number',
  'session_token',
  'status',
  'workflow_id',
  'workflow_version',
  'vendor_entity_id',
  'vendor_data',
  'shared_from_session_id',
  'shared_from_application_id',
  'created_at',
  'updated_at',
] as const;

type FreshValues = Readonly<Record<(typeof freshColumns)[number], Binding>>;

/** A copy to be made, without the columns that come from its original. */
export interface NewCopy extends Omit<CopiedSession, 'clonedRows' | 'withheld' | 'kind'> {
  /** The importing application. */
  readonly applicationId: ApplicationId;
  readonly workflowVersion: number;
  readonly vendorEntityId: VendorEntityId | null;
}

/**
 * Inserts new sessions; each names the session that it is a copy of. If one can't have its number, it fails
 * with an error that `isNumberRefused` recognizes.
 *
 * @param scope what is shared. Details that are withheld are not read.
 */
export function insertCopies(
  schema: KindSchema,
  scope: Scope,
  copies: readonly NewCopy[],
): Statement {
  const { number, joins } = usableNumber(schema);
  const values = freshColumns.map((column) =>
    column === 'session_number' ? number : `n.${column}`,
  );
  const withheld = detailNames.filter((name) => !shares(scope, name));
  const carried = carriedColumns.filter((column) => !withheld.some((name) => name === column));
  const columns = [...freshColumns, ...carried, ...Object.keys(derivedColumns)];
  const originals = [...carried.map((column) => `o.${column}`), ...Object.values(derivedColumns)];
  const stored = storedScope(scope);
  const row = `SELECT ${freshColumns.map((column) => `? AS ${column}`).join(', ')}`;
  return {
    // The new values are a derived table, so that the server copies the carried columns itself and
    // does not send them. VALUES ROW would be shorter, but only MySQL has it.
    sql: `INSERT INTO ?? (${[...columns, ...(stored === null ? [] : [scopeColumn])].join(', ')})
          SELECT ${[...values, ...originals, ...(stored === null ? [] : ['?'])].join(', ')}
          FROM (${copies.map(() => row).join(' UNION ALL ')}) n
          STRAIGHT_JOIN ?? o FORCE INDEX (PRIMARY) ON o.id = n.shared_from_session_id
          ${joins}`,
    bindings: [
      schema.sessions,
      ...(stored === null ? [] : [stored]),
      ...copies.map(freshValues).flatMap((values) => freshColumns.map((column) => values[column])),
      schema.sessions,
    ],
  };
}

function freshValues(copy: NewCopy): FreshValues {
  return {
    id: toBinary(copy.sessionId),
    application_id: toBinary(copy.applicationId),
    session_number: copy.sessionNumber,
    session_token: copy.sessionToken,
    status: copy.status,
    workflow_id: toBinary(copy.workflowId),
    workflow_version: copy.workflowVersion,
    vendor_entity_id: copy.vendorEntityId === null ? null : toBinary(copy.vendorEntityId),
    vendor_data: copy.vendorData === null ? null : Buffer.from(copy.vendorData, 'utf8'),
    shared_from_session_id: toBinary(copy.sourceSessionId),
    shared_from_application_id: toBinary(copy.sourceApplicationId),
    created_at: copy.createdAt,
    updated_at: copy.createdAt,
  };
}

/**
 * Copies of a kind, by their ids. Deleted and erased ones are missing, and with `skip` also those that somebody else
 * holds. They are share-locked until the transaction ends: nobody deletes them while rows are made that
 * point at them.
 */
export function shareLockCopies(
  { sessions }: KindSchema,
  ids: readonly SessionId[],
  locking: Locking,
): Query<ReadonlyMap<SessionId, ExistingCopy>> {
  type Row = Readonly<
    Record<'id' | 'shared_from_session_id' | 'shared_from_application_id', Buffer>
  >;
  return query(
    {
      sql: `SELECT id, shared_from_session_id, shared_from_application_id
            FROM ?? FORCE INDEX (PRIMARY) WHERE id IN (?) AND erased_at IS NULL ORDER BY id ${shareLock[locking]}`,
      bindings: [sessions, inKeyOrder(ids, (id) => id).map(toBinary)],
    },
    (found: Row[]) =>
      new Map(
        found.map((row) => [
          fromBinary<SessionId>(row.id),
          {
            sessionId: fromBinary(row.id),
            sourceSessionId: fromBinary(row.shared_from_session_id),
            sourceApplicationId: fromBinary(row.shared_from_application_id),
          },
        ]),
      ),
  );
}
