import type { Database } from '../db/database';
import { write } from '../db/query';
import { inTransaction } from '../db/transaction';
import {
  newId,
  toBinary,
  type ApplicationId,
  type SessionId,
  type VendorEntityId,
  type WorkflowId,
} from '../model/ids';
import { must } from '../model/must';
import { privileges } from '../model/privileges';
import { kindSchemas } from '../model/relations';
import { newSessionToken } from '../model/session-token';
import { createApiKey, createApplication, createWorkflow } from '../store/accounts';
import { leaseBlocks } from '../store/session-numbers';
import { insertRows, insertSession } from '../store/sessions/insert';
import { insertVendorEntities } from '../store/vendor-entities';
import { businessSession } from './business-session';
import type { DemoSession, Row } from './demo-session';
import { userSession } from './user-session';

/** What the demo has put into the database. */
export interface DemoData {
  /** The application that has something to share. */
  readonly source: {
    readonly applicationId: ApplicationId;
    readonly name: string;
    /** Shown here and never again: the database keeps its hash only. */
    readonly apiKey: string;
    readonly userSessionId: SessionId;
    readonly businessSessionId: SessionId;
  };
  /** The application that it can be shared with. */
  readonly importing: {
    readonly applicationId: ApplicationId;
    readonly name: string;
    readonly apiKey: string;
    readonly userWorkflowId: WorkflowId;
    readonly businessWorkflowId: WorkflowId;
  };
}

/**
 * Creates two applications with workflows and API keys, and a rich user and a rich business session in
 * the source application. Every run makes new ones: all of it or nothing.
 */
export async function seedDemo(db: Database): Promise<DemoData> {
  return inTransaction(db, async (trx) => {
    const source = await seedApplication(trx, 'Northwind Bank');
    const importing = await seedApplication(trx, 'Contoso Pay');
    const userSessionId = newId<SessionId>();
    const businessSessionId = newId<SessionId>();
    const numbers = await leaseBlocks(trx, [source.applicationId], 2);
    const firstNumber = must(numbers.get(source.applicationId), 'a session number');
    await insertDemoSession(trx, userSession(userSessionId), {
      id: userSessionId,
      applicationId: source.applicationId,
      number: firstNumber,
      workflowId: source.userWorkflowId,
    });
    await insertDemoSession(trx, businessSession(userSessionId), {
      id: businessSessionId,
      applicationId: source.applicationId,
      number: firstNumber + 1,
      workflowId: source.businessWorkflowId,
    });

    return {
      source: {
        applicationId: source.applicationId,
        name: source.name,
        apiKey: source.apiKey,
        userSessionId,
        businessSessionId,
      },
      importing,
    };
  });
}

async function seedApplication(db: Database, name: string) {
  const applicationId = await createApplication(db, name);
  const userWorkflowId = await createWorkflow(db, {
    applicationId,
    kind: 'user',
    name: 'Customer onboarding',
  });
  const businessWorkflowId = await createWorkflow(db, {
    applicationId,
    kind: 'business',
    name: 'Company onboarding',
  });
  const { apiKey } = await createApiKey(db, {
    applicationId,
    name: 'demo',
    privileges,
    expiresAt: null,
  });
  return { applicationId, name, apiKey, userWorkflowId, businessWorkflowId };
}

/** Where in an application a session is put. */
interface Place {
  readonly id: SessionId;
  readonly applicationId: ApplicationId;
  readonly number: number;
  readonly workflowId: WorkflowId;
}

async function insertDemoSession(db: Database, session: DemoSession, place: Place): Promise<void> {
  const { kind } = session;
  const vendorEntity = {
    id: newId<VendorEntityId>(),
    applicationId: place.applicationId,
    vendorData: Buffer.from(session.vendorData, 'utf8'),
    createdAt: session.startedAt,
  };
  const sessionId = toBinary(place.id);

  await write(db, insertVendorEntities(kindSchemas[kind], [vendorEntity]));
  await insertSession(
    db,
    kind,
    storable({
      ...session.columns,
      id: sessionId,
      application_id: toBinary(place.applicationId),
      session_number: place.number,
      session_token: newSessionToken(),
      workflow_id: toBinary(place.workflowId),
      workflow_version: session.workflowVersion,
      vendor_entity_id: toBinary(vendorEntity.id),
      vendor_data: vendorEntity.vendorData,
      created_at: session.startedAt,
      updated_at: session.finishedAt,
      verified_at: session.finishedAt,
    }),
  );
  for (const [relation, rows] of Object.entries(session.relations)) {
    const stored = rows.map((row, ordinal) => {
      // Only what happened at a moment that matters, such as a log entry, says when.
      const createdAt = row['created_at'] ?? session.finishedAt;
      return storable({
        ...row,
        session_id: sessionId,
        ordinal,
        created_at: createdAt,
        updated_at: createdAt,
      });
    });
    await insertRows(db, kind, relation, stored);
  }
}

/** A row as the driver takes it: it does not write JSON by itself. */
function storable(row: Row): Row {
  return Object.fromEntries(
    Object.entries(row).map(([column, value]) => [
      column,
      isStructured(value) ? JSON.stringify(value) : value,
    ]),
  );
}

function isStructured(value: unknown): boolean {
  const isObject = typeof value === 'object' && value !== null;
  return isObject && !(value instanceof Date) && !Buffer.isBuffer(value);
}
