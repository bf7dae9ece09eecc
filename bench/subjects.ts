import type { JWK } from 'jose';
import type { ApiKeyId, ApplicationId, SessionId, WorkflowId } from '../src/model/ids';
import type { SessionKind } from '../src/model/session';

/** An application that imports. */
export interface Importing {
  readonly applicationId: ApplicationId;
  readonly apiKey: string;
  readonly apiKeyId: ApiKeyId;
  readonly workflows: Readonly<Record<SessionKind, WorkflowId>>;
}

/** What every contestant works on. */
export interface World {
  readonly databaseUrl: string;
  /** The application that shares. */
  readonly source: ApplicationId;
  readonly sourceWorkflows: Readonly<Record<SessionKind, WorkflowId>>;
  /** The demo's sessions, of which all others are made. */
  readonly templates: Readonly<Record<SessionKind, SessionId>>;
  readonly signingKey: JWK;
  /** The path of the JWK Set that the service verifies with. */
  readonly jwks: string;
}

/** One import that a contestant is to carry out. */
export interface Import {
  readonly kind: SessionKind;
  readonly importing: Importing;
  readonly source: SessionId;
  readonly vendorData: string;
  /** A number that no other import has. */
  readonly number: number;
}
