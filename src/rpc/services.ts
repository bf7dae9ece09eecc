import type { Server, ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';
import { SessionImportService } from '../gen/sessionimport/v1/session_import';
import { SessionReadService } from '../gen/sessionimport/v1/session_read';
import { SessionShareService } from '../gen/sessionimport/v1/session_share';
import { SessionTraceService } from '../gen/sessionimport/v1/session_trace';
import type { Context } from './context';
import { getProvenance } from './trace/get-provenance';
import { getSession } from './read/get-session';
import { importSession } from './import/import-session';
import { listImports } from './trace/list-imports';
import { listSessionRows } from './read/list-session-rows';
import { listSessions } from './read/list-sessions';
import { listShareTokens } from './share/list-share-tokens';
import { revokeShareToken } from './share/revoke-share-token';
import { shareSession } from './share/share-session';
import { strictUtf8 } from './server/strict-utf8';

/** A service of the contract, and what carries out its methods. */
interface Service {
  readonly definition: ServiceDefinition;
  readonly implement: (context: Context) => UntypedServiceImplementation;
}

/** The services of the contract, one for each concern. */
const services: readonly Service[] = [
  {
    definition: SessionImportService,
    implement: (context) => ({ importSession: importSession(context) }),
  },
  {
    definition: SessionShareService,
    implement: (context) => ({
      shareSession: shareSession(context),
      revokeShareToken: revokeShareToken(context),
      listShareTokens: listShareTokens(context),
    }),
  },
  {
    definition: SessionReadService,
    implement: (context) => ({
      getSession: getSession(context),
      listSessionRows: listSessionRows(context),
      listSessions: listSessions(context),
    }),
  },
  {
    definition: SessionTraceService,
    implement: (context) => ({
      listImports: listImports(context),
      getProvenance: getProvenance(context),
    }),
  },
];

/** The full names of the services, such as `sessionimport.v1.SessionImport`. */
export const serviceNames: readonly string[] = services.map(({ definition }) => {
  const [method] = Object.values(definition);
  return method?.path.split('/')[1] ?? '';
});

/** Adds the services of the contract to a server. */
export function addServices(server: Server, context: Context): void {
  for (const { definition, implement } of services) {
    server.addService(strictUtf8(definition), implement(context));
  }
}
