import type { MultiDatabase } from '../db/database';
import { listPart, type ListPart } from '../db/bounded-list';
import { Keyset, type WantedPage } from '../db/cursor';
import {
  fromBinary,
  isUuid,
  newId,
  toBinary,
  type ApplicationId,
  type ConnectionId,
  type SessionId,
} from '../model/ids';
import { allOf, query, sql, writeTogether, type Query, type Statement } from '../db/query';
import { inTransaction } from '../db/transaction';
import type { AcceptanceRules } from '../model/acceptance';
import { newEvent, type RecordedEvent } from '../model/events';
import { must } from '../model/must';
import type { Reason } from '../model/problems';
import type { Scope } from '../model/scope';
import type { Actor, SessionKind, TokenFingerprint } from '../model/session';
import { recordedRules, storedRules } from './acceptance';
import { actorBindings, actorOf, type ActorRow } from './actor-columns';
import { recordEvents } from './events/outbox';
import { groundsBindings, groundsColumns, groundsColumnsOf, groundsOf } from './grounds-columns';
import {
  chosenBy,
  withinTime,
  type ImportFilter,
  type ImportRecord,
  type TokenRow,
} from './import-records';
import { scopeColumn, scopeOf, storedScope } from './scope-column';

/** An attempt to import a session, or a preview of one, and why it was refused. */
export interface Refusal {
  /** The application that tried to import. */
  readonly applicationId: ApplicationId;
  readonly actor: Actor;
  readonly reason: Reason;
  /** Whether it was a preview. */
  readonly preview: boolean;
  /** The rules that the source session has not met; null: it was refused for something else. */
  readonly acceptance: AcceptanceRules | null;
  /** The connection whose terms it exceeded; null: it was refused for something else. */
  readonly connectionId: ConnectionId | null;
  /** What the share token said; undefined if it was not genuine, because anybody can forge one. */
  readonly token: RefusedToken | undefined;
}

/** What a genuine share token says, as far as it is recorded. */
interface RefusedToken {
  readonly kind: SessionKind;
  readonly sessionId: SessionId;
  readonly fromApplicationId: ApplicationId;
  readonly fingerprint: TokenFingerprint;
  readonly scope: Scope;
}

/** A refusal with the id and the moment that it is recorded under. */
export interface NewRefusal extends Refusal {
  readonly id: Buffer;
  readonly createdAt: Date;
}

/** Gives a refusal its id and time, so that retries record it only once. */
export function newRefusal(refusal: Refusal): NewRefusal {
  return { ...refusal, id: toBinary(newId()), createdAt: new Date() };
}

/**
 * Records refusals, with their events. Those that an earlier try has recorded stay as they are.
 *
 * @param refusals at least one. A later try has to begin with the same one.
 */
export async function insertRefusals(
  db: MultiDatabase,
  refusals: readonly NewRefusal[],
): Promise<void> {
  const [first] = refusals;
  const events = refusals.filter(({ preview }) => !preview).map(eventOf);
  const statements = [insertAll(refusals)];
  if (first && events.length > 0) statements.push(recordEvents(fromBinary(first.id), events));
  await inTransaction(db, (trx) => writeTogether(trx, statements));
}

/** What the application that tried is told. */
function eventOf({
  reason,
  createdAt,
  applicationId,
  connectionId,
  token,
}: NewRefusal): RecordedEvent {
  const jti = token?.fingerprint.jti;
  return newEvent('import_refused', createdAt, {
    reason,
    recipient: { application: applicationId },
    ...(token && {
      kind: token.kind,
      source: { application: token.fromApplicationId, session: token.sessionId },
    }),
    ...(jti && isUuid(jti) && { token: jti }),
    ...(connectionId && { connection: connectionId }),
  });
}

function insertAll(refusals: readonly NewRefusal[]): Statement {
  const values = refusals.map(
    ({ applicationId, createdAt, id, reason, preview, acceptance, connectionId, token, actor }) => [
      toBinary(applicationId),
      createdAt,
      id,
      reason,
      preview,
      acceptance && storedRules(acceptance),
      connectionId && toBinary(connectionId),
      token?.kind ?? null,
      token ? toBinary(token.sessionId) : null,
      token ? toBinary(token.fromApplicationId) : null,
      token?.fingerprint.digest ?? null,
      token?.fingerprint.kid ?? null,
      token?.fingerprint.jti ?? null,
      ...groundsBindings(token?.fingerprint.grounds ?? null),
      storedScope(token?.scope ?? null),
      ...actorBindings(actor),
    ],
  );
  return sql(
    `INSERT INTO import_refusals
       (application_id, created_at, id, reason, preview, acceptance, connection_id, session_kind,
        source_session_id, source_application_id, token_digest, token_key_id, token_id,
        ${groundsColumns.join(', ')}, ${scopeColumn}, api_key_id, gateway)
     VALUES ?
     ON DUPLICATE KEY UPDATE id = id`,
    values,
  );
}

type RefusalRow = ActorRow &
  TokenRow & {
    readonly application_id: Buffer;
    readonly created_at: Date;
    readonly reason: string;
    readonly preview: number;
    readonly acceptance: unknown;
    readonly connection_id: Buffer | null;
    readonly session_kind: SessionKind | null;
    readonly source_session_id: Buffer | null;
    readonly source_application_id: Buffer | null;
  };

const keyset = new Keyset(
  [
    { name: 's.created_at', type: 'moment' },
    { name: 's.id', type: 'id' },
  ],
  'DESC',
);

/** The refusals of an application, newest first. */
export function refusalsOf(
  applicationId: ApplicationId,
  filter: ImportFilter,
  page: WantedPage,
): ListPart<ImportRecord> {
  return listPart(
    {
      table: 'import_refusals',
      key: ['application_id', 'created_at', 'id'],
      keyset,
      columns: `s.application_id, s.source_session_id, s.source_application_id, s.created_at, s.reason,
        s.preview, s.acceptance, s.connection_id, s.session_kind, s.api_key_id, s.gateway, s.token_key_id, s.token_id,
        s.${scopeColumn}, ${groundsColumnsOf('s')}`,
      range: allOf(sql('s.application_id = ?', toBinary(applicationId)), withinTime(filter)),
      filter: chosenBy(filter, 'source_application_id'),
      itemOf: refusalRecord,
    },
    page,
  );
}

/** What the application that tried may know of a refused attempt: all that is recorded. */
function refusalRecord(row: RefusalRow): ImportRecord {
  const { session_kind: kind, source_session_id: session, source_application_id: from } = row;
  return {
    createdAt: row.created_at,
    applicationId: fromBinary(row.application_id),
    source:
      kind && session && from
        ? {
            kind,
            sessionId: fromBinary(session),
            applicationId: fromBinary(from),
            signingKeyId: row.token_key_id,
            shareTokenId: row.token_id,
            grounds: groundsOf(row),
            scope: scopeOf(row),
          }
        : null,
    connectionId: row.connection_id && fromBinary(row.connection_id),
    actor: actorOf(row),
    copy: null,
    acceptance: recordedRules(row.acceptance),
    refusedFor: row.reason,
    preview: row.preview !== 0,
  };
}

/** When the oldest attempt on record was refused; null: there is none. */
export function oldestRefusal(): Query<Date | null> {
  return query(
    sql('SELECT created_at FROM import_refusals ORDER BY created_at LIMIT 1'),
    ([row]: { readonly created_at: Date }[]) => row?.created_at ?? null,
  );
}

/** How many attempts were refused before a moment. */
export function countOldRefusals(before: Date): Query<number> {
  return query(
    sql('SELECT COUNT(*) AS refusals FROM import_refusals WHERE created_at < ?', before),
    ([row]: { readonly refusals: number }[]) => must(row, 'a count').refusals,
  );
}

/** Deletes the oldest attempts that were refused before a moment, at most so many. */
export function deleteOldRefusals(before: Date, limit: number): Statement {
  return sql(
    'DELETE FROM import_refusals WHERE created_at < ? ORDER BY created_at LIMIT ?',
    before,
    limit,
  );
}
