import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';
import { BinaryReader } from '@bufbuild/protobuf/wire';
import {
  ImportSessionRequest,
  type SessionImportService,
} from '../gen/sessionimport/v1/session_import';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Half a surrogate pair: no UTF-8 text decodes to it, so it marks a field that was not UTF-8. */
const notUtf8 = '\ud800';

/**
 * Reads requests so that text which is not UTF-8 is noticed. The default decoder puts a replacement
 * character in the place of every wrong byte, and different names would become the same.
 *
 * Such a field becomes a text that is not well-formed, for the check of the request to refuse.
 */
export function strictUtf8(service: typeof SessionImportService): ServiceDefinition {
  const requestDeserialize = (bytes: Buffer): ImportSessionRequest =>
    ImportSessionRequest.decode(new BinaryReader(bytes, decode));
  const importSession = { ...service.importSession, requestDeserialize };
  return { ...service, importSession: importSession as MethodDefinition<unknown, unknown> };
}

function decode(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    return notUtf8;
  }
}
