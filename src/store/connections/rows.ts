import { sql, type Statement } from '../../db/query';
import type {
  ConnectionParty,
  ConnectionRecord,
  ConnectionSide,
} from '../../model/connection-record';
import { fromBinary, toBinary, type ApplicationId } from '../../model/ids';
import { termsColumns, termsOf, type TermsRow } from './terms';

/** The columns of a {@link ConnectionRow}. */
export const connectionColumns = [
  'id',
  'source_application_id',
  'recipient_application_id',
  'open',
  'active',
  ...termsColumns,
  'proposed_by',
  'created_at',
  'expires_at',
  'accepted_at',
  'ended_by',
  'ended_at',
  'replaced_by',
  'used_at',
] as const;

/** A row with {@link connectionColumns}. */
export type ConnectionRow = TermsRow &
  Readonly<
    Record<'id' | 'source_application_id' | 'recipient_application_id', Buffer> &
      Record<'open' | 'active', number | null> &
      Record<'expires_at' | 'accepted_at' | 'ended_at' | 'used_at', Date | null>
  > & {
    readonly proposed_by: ConnectionParty;
    readonly created_at: Date;
    readonly ended_by: ConnectionParty | null;
    readonly replaced_by: Buffer | null;
  };

/** The connection of a row. */
export function connectionOf(row: ConnectionRow): ConnectionRecord {
  return {
    id: fromBinary(row.id),
    sourceApplicationId: fromBinary(row.source_application_id),
    recipientApplicationId: fromBinary(row.recipient_application_id),
    terms: termsOf(row),
    open: row.open === 1,
    active: row.active === 1,
    proposedBy: row.proposed_by,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    acceptedAt: row.accepted_at,
    endedAt: row.ended_at,
    endedBy: row.ended_by,
    replacedBy: row.replaced_by && fromBinary(row.replaced_by),
    usedAt: row.used_at,
  };
}

/** The column with the application of a side. */
export const applicationColumns = {
  source: 'source_application_id',
  recipient: 'recipient_application_id',
} as const satisfies Readonly<Record<ConnectionSide, string>>;

/** The condition that an application is one of the two. */
export function concerns(applicationId: ApplicationId): Statement {
  const id = toBinary(applicationId);
  return sql('(source_application_id = ? OR recipient_application_id = ?)', id, id);
}
