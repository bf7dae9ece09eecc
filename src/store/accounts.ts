import { createHash, randomBytes } from 'node:crypto';
import { z } from 'zod';
import { listPart, readPage, type BoundedList } from '../db/bounded-list';
import { Keyset, type Page, type WantedPage } from '../db/cursor';
import type { Database, MultiDatabase } from '../db/database';
import { allOf, ifGiven, query, read, select, sql, type Query } from '../db/query';
import {
  fromBinary,
  newId,
  toBinary,
  type ApiKeyId,
  type ApplicationId,
  type WorkflowId,
} from '../model/ids';
import { noRules, type AcceptanceRules } from '../model/acceptance';
import type { Privilege } from '../model/privileges';
import { shareableNames } from '../model/scope';
import type { SessionKind } from '../model/session';
import { rulesOf, storedRules } from './acceptance';

/** Registers an application: a tenant of the platform. */
export async function createApplication(db: Database, name: string): Promise<ApplicationId> {
  const id = newId<ApplicationId>();
  const row = { id: toBinary(id), name, created_at: new Date() };
  await db('applications').insert(row);
  return id;
}

/** Those of the given applications that exist. */
export function existingApplications(
  ids: readonly ApplicationId[],
): Query<ReadonlySet<ApplicationId>> {
  return query(
    sql('SELECT id FROM applications WHERE id IN (?)', ids.map(toBinary)),
    (found: { readonly id: Buffer }[]) => new Set(found.map(({ id }) => fromBinary(id))),
  );
}

const applicationKeyset = new Keyset([{ name: 'id', type: 'id' }], 'ASC');

/** The ids of all applications. */
export function applicationIds({ size, after }: WantedPage): Query<Page<ApplicationId>> {
  const wanted = allOf(ifGiven(after, (cursor) => applicationKeyset.following(cursor)));
  return query(
    sql(
      `SELECT ${applicationKeyset.select} FROM applications
       WHERE ${wanted.sql} ORDER BY ${applicationKeyset.orderBy} LIMIT ?`,
      ...[...wanted.bindings, size + 1],
    ),
    (rows: { readonly place_id: Buffer }[]) =>
      applicationKeyset.pageOf(rows, size, (row) => fromBinary<ApplicationId>(row.place_id)),
  );
}

/** Whether there is an application with an id. */
export async function applicationExists(db: Database, id: ApplicationId): Promise<boolean> {
  const found = await read(db, existingApplications([id]));
  return found.has(id);
}

/** @throws Error if there is no such application: a clearer one than a broken foreign key. */
export async function requireApplication(db: Database, id: ApplicationId): Promise<void> {
  if (!(await applicationExists(db, id))) throw new Error(`there is no application ${id}`);
}

/** What sessions are filed under. */
export interface Workflow {
  readonly applicationId: ApplicationId;
  /** The kind of its sessions. */
  readonly kind: SessionKind;
  readonly version: number;
  /** The rules that sessions must meet to be imported into it. */
  readonly acceptance: AcceptanceRules;
}

/**
 * Registers a workflow of an application, at version 1.
 *
 * @throws Error if there is no such application, or if a rule can't be met by sessions of the kind.
 */
export async function createWorkflow(
  db: Database,
  workflow: Pick<Workflow, 'applicationId' | 'kind'> &
    Partial<Pick<Workflow, 'acceptance'>> & { readonly name: string },
): Promise<WorkflowId> {
  const { acceptance = noRules } = workflow;
  requireRelations(workflow.kind, acceptance);
  await requireApplication(db, workflow.applicationId);
  const id = newId<WorkflowId>();
  const now = new Date();
  await db('workflows').insert({
    id: toBinary(id),
    application_id: toBinary(workflow.applicationId),
    kind: workflow.kind,
    name: workflow.name,
    version: 1,
    acceptance: storedRules(acceptance),
    created_at: now,
    updated_at: now,
  });
  return id;
}

/**
 * Changes which sessions a workflow takes, for all imports that begin afterwards.
 *
 * @param acceptance the new rules. They replace all old ones.
 * @throws Error if there is no such workflow, or if a rule can't be met by sessions of its kind.
 */
export async function updateWorkflow(
  db: Database,
  id: WorkflowId,
  acceptance: AcceptanceRules,
): Promise<void> {
  const [workflow] = await read(
    db,
    select<Pick<Workflow, 'kind'>>('SELECT kind FROM workflows WHERE id = ?', [toBinary(id)]),
  );
  if (!workflow) throw new Error(`there is no workflow ${id}`);
  requireRelations(workflow.kind, acceptance);
  await db('workflows')
    .where({ id: toBinary(id) })
    .update({ acceptance: storedRules(acceptance), updated_at: new Date() });
}

/** @throws Error if a rule names a relation that sessions of the kind don't have: no session could meet it. */
function requireRelations(kind: SessionKind, { relations }: AcceptanceRules): void {
  const known = shareableNames([kind]);
  const unknown = relations.filter((name) => !known.has(name));
  if (unknown.length === 0) return;
  throw new Error(
    `${kind} sessions have no relation ${unknown.join(', ')}; they have ${[...known].join(', ')}`,
  );
}

interface WorkflowRow {
  readonly id: Buffer;
  readonly application_id: Buffer;
  readonly kind: SessionKind;
  readonly version: number;
  readonly acceptance: unknown;
}

/** The workflows with the given ids. Ids that do not exist are missing. */
export function workflowsById(
  ids: readonly WorkflowId[],
): Query<ReadonlyMap<WorkflowId, Workflow>> {
  return query(
    {
      sql: 'SELECT id, application_id, kind, version, acceptance FROM workflows WHERE id IN (?)',
      bindings: [ids.map(toBinary)],
    },
    (found: WorkflowRow[]) =>
      new Map(
        found.map(({ id, application_id: applicationId, kind, version, acceptance }) => [
          fromBinary<WorkflowId>(id),
          {
            applicationId: fromBinary(applicationId),
            kind,
            version,
            acceptance: rulesOf(acceptance),
          },
        ]),
      ),
  );
}

/** A workflow as its application sees it. */
export interface ListedWorkflow extends Omit<Workflow, 'applicationId'> {
  readonly id: WorkflowId;
  readonly name: string;
  readonly createdAt: Date;
}

/** The order of the list: the oldest first, since ids grow with time. */
export const workflowKeyset = new Keyset([{ name: 's.id', type: 'id' }], 'ASC');

/**
 * Lists workflows of an application, oldest first.
 *
 * @param kind undefined: of both kinds.
 */
export function listWorkflows(
  db: MultiDatabase,
  applicationId: ApplicationId,
  kind: SessionKind | undefined,
  page: WantedPage,
): Promise<Page<ListedWorkflow>> {
  type Row = Omit<WorkflowRow, 'application_id'> & {
    readonly name: string;
    readonly created_at: Date;
  };
  const list: BoundedList<Row, ListedWorkflow> = {
    table: 'workflows',
    key: ['id'],
    keyset: workflowKeyset,
    columns: 's.id, s.kind, s.name, s.version, s.acceptance, s.created_at',
    range: sql('s.application_id = ?', toBinary(applicationId)),
    filter: ifGiven(kind, (wanted) => sql('s.kind = ?', wanted)),
    itemOf: ({ id, kind: its, name, version, acceptance, created_at: createdAt }) => ({
      id: fromBinary(id),
      kind: its,
      name,
      version,
      acceptance: rulesOf(acceptance),
      createdAt,
    }),
  };
  return readPage(db, workflowKeyset, [listPart(list, page)], page.size);
}

/** 256 random bits; the prefix lets secret scanners find a key that was leaked. */
const apiKeyPrefix = 'sik_';
const apiKeyBytes = 32;

/** What is stored of an API key. It has too much entropy to need a slow hash. */
export function hashApiKey(apiKey: string): Buffer {
  return createHash('sha256').update(apiKey, 'utf8').digest();
}

/** A new API key. Only this object contains the key itself. */
export interface NewApiKey {
  readonly id: ApiKeyId;
  readonly apiKey: string;
}

/**
 * Makes an API key for an application. It is shown once and never stored.
 *
 * @throws Error if there is no such application.
 */
export async function createApiKey(
  db: Database,
  key: {
    readonly applicationId: ApplicationId;
    readonly name: string;
    readonly privileges: readonly Privilege[];
    /** Null: it does not expire. */
    readonly expiresAt: Date | null;
  },
): Promise<NewApiKey> {
  await requireApplication(db, key.applicationId);
  const id = newId<ApiKeyId>();
  const apiKey = apiKeyPrefix + randomBytes(apiKeyBytes).toString('base64url');
  await db('api_keys').insert({
    id: toBinary(id),
    application_id: toBinary(key.applicationId),
    name: key.name,
    key_hash: hashApiKey(apiKey),
    privileges: JSON.stringify(key.privileges),
    created_at: new Date(),
    expires_at: key.expiresAt,
  });
  return { id, apiKey };
}

/** An API key as it is stored. */
export interface StoredApiKey {
  readonly id: ApiKeyId;
  readonly applicationId: ApplicationId;
  readonly privileges: ReadonlySet<string>;
  /** Null: it does not expire. */
  readonly expiresAt: Date | null;
}

/** The hash of an API key as text, in hexadecimal. */
export type ApiKeyHash = string;

/** Finds the API keys of some hashes. Those that are unknown or revoked are missing. */
export function apiKeysByHash(
  hashes: readonly ApiKeyHash[],
): Query<ReadonlyMap<ApiKeyHash, StoredApiKey>> {
  interface Row {
    readonly key_hash: Buffer;
    readonly id: Buffer;
    readonly application_id: Buffer;
    readonly privileges: unknown;
    readonly expires_at: Date | null;
  }
  return query(
    sql(
      `SELECT key_hash, id, application_id, privileges, expires_at FROM api_keys
       WHERE key_hash IN (?) AND revoked_at IS NULL`,
      hashes.map((hash) => Buffer.from(hash, 'hex')),
    ),
    (found: Row[]) =>
      new Map(
        found.map((row) => [
          row.key_hash.toString('hex'),
          {
            id: fromBinary(row.id),
            applicationId: fromBinary(row.application_id),
            privileges: new Set(z.array(z.string()).parse(row.privileges)),
            expiresAt: row.expires_at,
          },
        ]),
      ),
  );
}

/**
 * Revokes an API key; running services notice within seconds.
 *
 * @returns whether there was such a key, not revoked before.
 */
export async function revokeApiKey(db: Database, id: ApiKeyId): Promise<boolean> {
  const revoked = await db('api_keys')
    .where({ id: toBinary(id), revoked_at: null })
    .update({ revoked_at: new Date() });
  return revoked === 1;
}
