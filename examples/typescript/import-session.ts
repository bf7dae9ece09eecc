/**
 * Imports a session that another application has shared.
 *
 *   API_KEY=… import-session [options] <address> <share token> <workflow id>
 *
 * Options: --vendor-data <name>; --trust-review; --request-id <UUID>, to be made up for each import and kept
 * with its record, so that asking again gets the same answer; --plaintext for no TLS; --cacert <file> for CAs
 * other than the well-known ones; --cert <file> and --key <file> for mutual TLS.
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { credentials, Metadata, status, type ServiceError } from '@grpc/grpc-js';
import {
  errorDetails,
  serviceConfig,
  SessionImportClient,
  type ImportSessionRequest,
  type ImportSessionResponse,
  type Partly,
} from 'session-import-client';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    'vendor-data': { type: 'string' },
    'trust-review': { type: 'boolean', default: false },
    'request-id': { type: 'string' },
    plaintext: { type: 'boolean', default: false },
    cacert: { type: 'string' },
    cert: { type: 'string' },
    key: { type: 'string' },
  },
});
const [address = '', shareToken = '', workflowId = ''] = positionals;

/** Without files: TLS with the well-known CAs. With a certificate and its key: mutual TLS. */
function channelCredentials() {
  if (options.plaintext) return credentials.createInsecure();
  const read = (file?: string) => (file === undefined ? null : readFileSync(file));
  return credentials.createSsl(read(options.cacert), read(options.key), read(options.cert));
}

// One client for the whole program: it keeps its connection, and makes a new one when it has to.
const client = new SessionImportClient(address, channelCredentials(), {
  'grpc.service_config': serviceConfig,
});

function importSession(request: Partly<ImportSessionRequest>): Promise<ImportSessionResponse> {
  const metadata = new Metadata();
  metadata.set('x-api-key', process.env['API_KEY'] ?? '');
  // For all tries together.
  const deadline = Date.now() + 45_000;
  return new Promise((resolve, reject) => {
    client.importSession(request, metadata, { deadline }, (error, response) => {
      if (error) reject(error);
      else resolve(response);
    });
  });
}

function describe(error: ServiceError): object {
  const { reason, metadata, fieldViolations, resource, retryDelay } = errorDetails(error) ?? {};
  return {
    code: status[error.code],
    message: error.details,
    reason,
    metadata,
    fieldViolations,
    resource,
    retryDelay,
  };
}

importSession({
  shareToken,
  workflowId,
  vendorData: options['vendor-data'],
  trustReview: options['trust-review'],
  requestId: options['request-id'],
})
  .then((response) => {
    console.log(JSON.stringify(response, null, 2));
  })
  .catch((error: unknown) => {
    console.log(JSON.stringify(describe(error as ServiceError), null, 2));
    process.exitCode = 1;
  })
  .finally(() => {
    client.close();
  });
