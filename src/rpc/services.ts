import type { Server, ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';
import { SessionImportService } from '../gen/sessionimport/v1/session_import';
import { SessionReadService } from '../gen/sessionimport/v1/session_read';
import { SessionShareService } from '../gen/sessionimport/v1/session_share';
import { SessionTraceService } from '../gen/sessionimport/v1/session_trace';
import type { Context } from './context';
import { getProvenance } from './get-provenance';
import { getSession } from './get-session';
import { importSession } from './import-session';
import { listImports } from './list-imports';
import { listSessionRows } from './list-session-rows';
import { listSessions } from './list-sessions';
import { listShareTokens } from './list-share-tokens';
import { revokeShareToken } from './revoke-share-token';
import { shareSession } from './share-session';
import { strictUtf8 } from './strict-utf8';

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
