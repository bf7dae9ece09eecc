import { readFileSync } from 'node:fs';
import path from 'node:path';

const file = path.join(__dirname, '..', '..', 'proto', 'service-config.json');

/**
 * The gRPC service config for clients, as JSON: which codes are tried again and how, and the time
 * limit of a call that has no deadline of its own.
 *
 * @example
 * new SessionImportClient(address, credentials.createSsl(), { 'grpc.service_config': serviceConfig });
 */
export const serviceConfig = readFileSync(file, 'utf8');
