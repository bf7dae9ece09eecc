/** What a client of Session Import needs, and nothing of the server: the package `session-import-client`. */
export {
  SessionConnectionClient,
  SessionErasureClient,
  SessionEventsClient,
  SessionImportClient,
  SessionReadClient,
  SessionShareClient,
  SessionTraceClient,
  type ClientMethod,
  type ClientOf,
  type ClientStream,
  type Partly,
} from './clients';
export {
  AcceptConnectionRequest,
  AcceptConnectionResponse,
  Connection,
  ConnectionEnding,
  ConnectionParty,
  ConnectionState,
  ConnectionTerms,
  EndConnectionRequest,
  EndConnectionResponse,
  GetConnectionRequest,
  GetConnectionResponse,
  ListConnectionsRequest,
  ListConnectionsResponse,
  ProposeConnectionRequest,
  ProposeConnectionResponse,
} from '../gen/sessionimport/v1/session_connection';
export {
  AcceptanceRules,
  ClonedRelation,
  ErrorReason,
  ImportSessionRequest,
  ImportSessionResponse,
  LinkedSession,
  ListWorkflowsRequest,
  ListWorkflowsResponse,
  Session,
  SessionKind,
  SessionStatus,
  Workflow,
} from '../gen/sessionimport/v1/session_import';
export {
  EraseSessionRequest,
  EraseSessionResponse,
  Hold,
  Retention,
  SetRetentionRequest,
  SetRetentionResponse,
} from '../gen/sessionimport/v1/session_erasure';
export {
  ListEventsRequest,
  ListEventsResponse,
  SessionEvent,
  SessionEventType,
  WatchEventsRequest,
  WatchEventsResponse,
} from '../gen/sessionimport/v1/session_events';
export {
  GetSessionRequest,
  GetSessionResponse,
  ListSessionRowsRequest,
  ListSessionRowsResponse,
  ListSessionsRequest,
  ListSessionsResponse,
  MoreRows,
  SessionDetails,
} from '../gen/sessionimport/v1/session_read';
export * from '../gen/sessionimport/v1/session_relations';
export {
  Grounds,
  GroundsKind,
  ListReceivedShareTokensRequest,
  ListReceivedShareTokensResponse,
  ListShareTokensRequest,
  ListShareTokensResponse,
  ReceivedShareToken,
  RevokeShareTokenRequest,
  RevokeShareTokenResponse,
  ShareSessionRequest,
  ShareSessionResponse,
  ShareToken,
} from '../gen/sessionimport/v1/session_share';
export {
  GetProvenanceRequest,
  GetProvenanceResponse,
  ImportDirection,
  ImportOutcome,
  ImportRecord,
  ListImportsRequest,
  ListImportsResponse,
  ProvenanceStep,
} from '../gen/sessionimport/v1/session_trace';
export { errorDetails, type ErrorDetails, type KnownReason } from './error-details';
export { serviceConfig } from './service-config';
