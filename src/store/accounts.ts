import { applicationExists, hashApiKey, newApiKey, type Privilege } from '../rpc/call/callers';
import type { Database } from '../db/connection';
import { newId, toBinary, type ApiKeyId, type ApplicationId, type WorkflowId } from '../model/ids';
import type { SessionKind } from '../model/session';

/** Registers an application: a tenant of the platform. */
export async function createApplication(db: Database, name: string): Promise<ApplicationId> {
  const id = newId<ApplicationId>();
  const row = { id: toBinary(id), name, created_at: new Date() };
  await db('applications').insert(row);
  return id;
}

/** @throws Error if there is no such application: a clearer one than a broken foreign key. */
export async function requireApplication(db: Database, id: ApplicationId): Promise<void> {
  if (!(await applicationExists(db, id))) throw new Error(`there is no application ${id}`);
}

/**
 * Registers a workflow of an application, at version 1.
 *
 * @throws Error if there is no such application.
 */
export async function createWorkflow(
  db: Database,
  workflow: {
    readonly applicationId: ApplicationId;
    readonly kind: SessionKind;
    readonly name: string;
  },
): Promise<WorkflowId> {
  await requireApplication(db, workflow.applicationId);
  const id = newId<WorkflowId>();
  const now = new Date();
  await db('workflows').insert({
    id: toBinary(id),
    application_id: toBinary(workflow.applicationId),
    kind: workflow.kind,
    name: workflow.name,
    version: 1,
    created_at: now,
    updated_at: now,
  });
  return id;
}

/** An API key just made. The key itself is known only here and now. */
export interface NewApiKey {
  readonly id: ApiKeyId;
  readonly apiKey: string;
}

/**
 * Makes an API key for an application.
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
  const apiKey = newApiKey();
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
