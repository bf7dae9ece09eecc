import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { JWK } from 'jose';
import { atExit, removeFolder } from '../../scripts/mysql/cleanup';
import { createApiKey, createApplication, createWorkflow } from '../../src/store/accounts';
import { privileges } from '../../src/model/privileges';
import type { Database } from '../../src/db/database';
import { createRetry } from '../../src/db/retry';
import { NumberLeases } from '../../src/import/number-leases';
import {
  newId,
  toBinary,
  type ApplicationId,
  type SessionId,
  type ShareTokenId,
  type WorkflowId,
} from '../../src/model/ids';
import { must } from '../../src/model/must';
import { kindSchemas } from '../../src/model/relations';
import type { SessionKind, SessionStatus } from '../../src/model/session';
import { newSessionToken } from '../../src/model/session-token';
import { extendKeySet, writePrivateKey } from '../../src/token/key-files';
import type { Algorithm } from '../../src/token/share-token';
import { generateSigningKey, signShareToken } from '../../src/token/signing';

/** An application with a workflow of each kind and an API key. */
export interface Tenant {
  readonly applicationId: ApplicationId;
  readonly apiKey: string;
  readonly workflows: Readonly<Record<SessionKind, WorkflowId>>;
}

export async function createTenant(db: Database): Promise<Tenant> {
  const applicationId = await createApplication(db, 'a tenant of the tests');
  const { apiKey } = await createApiKey(db, {
    applicationId,
    name: 'tests',
    privileges,
    expiresAt: null,
  });
  const workflow = (kind: SessionKind) => createWorkflow(db, { applicationId, kind, name: kind });
  return {
    applicationId,
    apiKey,
    workflows: { user: await workflow('user'), business: await workflow('business') },
  };
}

/** Values of a session that differ from the usual ones. */
type SessionColumns = { readonly status?: SessionStatus } & Readonly<Record<string, unknown>>;

/** Numbers that were leased for the sessions to come: to lease one for each takes longer than the session. */
const leases = new WeakMap<Database, NumberLeases>();

function leasesOf(db: Database): NumberLeases {
  let known = leases.get(db);
  if (!known)
    leases.set(
      db,
      (known = new NumberLeases(
        db,
        createRetry(() => undefined),
      )),
    );
  return known;
}

/** Adds a session to a tenant: the row alone, without relations. */
export async function createSession(
  db: Database,
  tenant: Tenant,
  kind: SessionKind,
  columns: SessionColumns = {},
): Promise<SessionId> {
  const [id] = await createSessions(db, tenant, kind, 1, columns);
  return must(id, 'the session just made');
}

/** Adds sessions to a tenant at once: the rows alone, without relations. */
export async function createSessions(
  db: Database,
  tenant: Tenant,
  kind: SessionKind,
  count: number,
  columns: SessionColumns = {},
): Promise<SessionId[]> {
  const now = new Date();
  const ids = Array.from({ length: count }, () => newId<SessionId>());
  const numbers = await leasesOf(db).take(ids.map(() => tenant.applicationId));
  await db(kindSchemas[kind].sessions).insert(
    ids.map((id, index) => ({
      id: toBinary(id),
      application_id: toBinary(tenant.applicationId),
      session_number: numbers[index],
      session_token: newSessionToken(),
      status: 'Approved',
      workflow_id: toBinary(tenant.workflows[kind]),
      workflow_version: 7,
      vendor_data: Buffer.from('the source application’s own name for the person'),
      features: JSON.stringify(['OCR', 'FACE_MATCH']),
      metadata: JSON.stringify({ internal: 'stays behind' }),
      expected_details: JSON.stringify({ country: 'DEU', big: 12345678901 }),
      contact_details: JSON.stringify({ email: 'ana@example.com' }),
      callback: 'https://source.example.com/callback',
      language: 'pt-BR',
      created_at: now,
      updated_at: now,
      ...columns,
    })),
  );
  return ids;
}

/** Adds a few rows to some relations of a session: enough to see that a copy has them. */
export async function addLogs(
  db: Database,
  kind: SessionKind,
  id: SessionId,
  count: number,
): Promise<void> {
  const now = new Date();
  await db(kindSchemas[kind].logs).insert(
    Array.from({ length: count }, (_, ordinal) => ({
      session_id: toBinary(id),
      ordinal,
      status: 'Approved',
      activity_type: 'step_finished',
      log_type: 'information',
      short_description: `step ${ordinal}`,
      created_at: now,
      updated_at: now,
    })),
  );
}

/** Makes a user session that has log entries with so many bytes of JSON, in order. */
export async function createSessionWithLogs(
  db: Database,
  tenant: Tenant,
  sizes: readonly number[],
): Promise<SessionId> {
  const id = await createSession(db, tenant, 'user');
  await addLogs(db, 'user', id, sizes.length);
  // Row by row, since a server's limits are for the tests' own statements too.
  for (const [ordinal, size] of sizes.entries()) {
    await db(kindSchemas.user.logs)
      .where({ session_id: toBinary(id), ordinal })
      .update({ additional_data: JSON.stringify('x'.repeat(size)) });
  }
  return id;
}

/** Records share tokens of a session without giving them to anybody, and returns their ids. */
export async function addShareTokens(
  db: Database,
  tenant: Tenant,
  to: Tenant,
  sessionId: SessionId,
  count: number,
  columns: Readonly<Record<string, unknown>> = {},
): Promise<readonly ShareTokenId[]> {
  const ids = Array.from({ length: count }, () => newId<ShareTokenId>());
  const now = new Date();
  for (let done = 0; done < count; done += 1_000) {
    await db('share_tokens').insert(
      ids.slice(done, done + 1_000).map((id) => ({
        id: toBinary(id),
        application_id: toBinary(tenant.applicationId),
        session_id: toBinary(sessionId),
        session_kind: 'user',
        for_application_id: toBinary(to.applicationId),
        linked_sessions: false,
        created_at: now,
        expires_at: new Date(now.getTime() + 3_600_000),
        ...columns,
      })),
    );
  }
  return ids;
}

/** A signing key, and the JWK Set file that the service verifies with. */
export interface Signer {
  readonly jwks: string;
  readonly privateJwk: JWK;
  /** The file of the private key that the service signs with. */
  readonly signingKey: string;
  /** Adds another key to the set, and returns its private half. */
  addKey(options: {
    readonly algorithm: Algorithm;
    readonly kid?: string;
    readonly applicationId?: ApplicationId;
  }): Promise<JWK>;
  /** Signs a token for a session of `from`, for `to`. */
  share(from: Tenant, to: Tenant, kind: SessionKind, sessionId: SessionId): Promise<string>;
  remove(): Promise<void>;
}

export async function createSigner(): Promise<Signer> {
  const folder = await mkdtemp(path.join(tmpdir(), 'session-import-keys-'));
  const forget = atExit(() => {
    removeFolder(folder);
  });
  const jwks = path.join(folder, 'jwks.json');
  const addKey: Signer['addKey'] = async ({ algorithm, kid, applicationId }) => {
    const key = await generateSigningKey({ algorithm, kid, applicationId });
    await (await extendKeySet(jwks, key.verificationJwk)).save();
    return key.privateJwk;
  };
  const privateJwk = await addKey({ algorithm: 'EdDSA' });
  const signingKey = path.join(folder, 'signing-key.json');
  await writePrivateKey(signingKey, privateJwk);
  return {
    jwks,
    privateJwk,
    signingKey,
    addKey,
    share: (from, to, kind, sessionId) =>
      signShareToken(privateJwk, {
        sessionId,
        kind,
        fromApplicationId: from.applicationId,
        forApplicationId: to.applicationId,
        lifetime: 600,
      }),
    async remove() {
      await rm(folder, { recursive: true });
      forget();
    },
  };
}
