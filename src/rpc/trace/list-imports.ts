import type { handleUnaryCall } from '@grpc/grpc-js';
import { z } from 'zod';
import { isUuid, type Id } from '../../model/ids';
import type { ListImportsResponse } from '../../gen/sessionimport/v1/session_trace';
import {
  SessionTraceService,
  type ListImportsRequest,
} from '../../gen/sessionimport/v1/session_trace';
import { listIncoming, listOutgoing, type ImportCursor } from '../../store/import-lists';
import { authorize } from '../call/authorize';
import type { Context } from '../context';
import { wireImportRecord } from './wire';
import { parseListImportsRequest } from './request';
import { onDatabase } from '../on-database';
import { Pages } from '../call/paging';
import { unary } from '../call/unary';

const cursorSchema: z.ZodType<ImportCursor> = z.object({
  at: z.iso.datetime({ precision: 6, local: true }),
  ids: z.array(z.custom<Id<string>>((id) => typeof id === 'string' && isUuid(id))),
});

/** Lists what the caller's application has imported, or what others have imported of it. */
export function listImports(
  context: Context,
): handleUnaryCall<ListImportsRequest, ListImportsResponse> {
  return unary(SessionTraceService.listImports, context, async (call) => {
    const { applicationId } = await authorize(call, context, 'read:session-imports');
    const { direction, outcome, filter } = parseListImportsRequest(call.request);
    const ids = direction === 'outgoing' ? 2 : 1;
    const pages = new Pages(
      ['ListImports', applicationId, direction, outcome, filter],
      cursorSchema.refine((cursor) => cursor.ids.length === ids),
    );
    const page = pages.read(call.request);
    const { imports, end } = await onDatabase(context, (db) =>
      direction === 'outgoing'
        ? listOutgoing(db, applicationId, filter, page)
        : listIncoming(db, applicationId, filter, outcome, page),
    );
    call.note({ imports: imports.length });
    return { imports: imports.map(wireImportRecord), nextPageToken: pages.tokenAfter(end) };
  });
}
