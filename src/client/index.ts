/** What a client of Session Import needs, and nothing of the server: `session-import/client`. */
export {
  ClonedRelation,
  ErrorReason,
  ImportSessionRequest,
  ImportSessionResponse,
  Session,
  SessionImportClient,
  SessionKind,
  SessionStatus,
} from '../gen/sessionimport/v1/session_import';
export { errorDetails, type ErrorDetails, type KnownReason } from './error-details';
export { serviceConfig } from './service-config';
