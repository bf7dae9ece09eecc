import type { MultiDatabase } from '../db/database';
import { readPage } from '../db/bounded-list';
import type { Page, WantedPage } from '../db/cursor';
import type { ApplicationId } from '../model/ids';
import type { ImportFilter, ImportRecord } from './import-records';
import { incomingImports, incomingKeyset, outgoingImports, outgoingKeyset } from './ledger/records';
import { refusalsOf } from './refusals';

/** The outcome of an attempt to import. */
export type AttemptOutcome = 'imported' | 'refused';

/**
 * Lists the imports of an application, those that were made and those that were refused, newest first.
 *
 * @param outcome undefined: both.
 */
export function listIncoming(
  db: MultiDatabase,
  viewer: ApplicationId,
  filter: ImportFilter,
  outcome: AttemptOutcome | undefined,
  page: WantedPage,
): Promise<Page<ImportRecord>> {
  const imported = incomingImports(viewer, filter, page);
  const refused = refusalsOf(viewer, filter, page);
  const wanted = { imported: [imported], refused: [refused] };
  const parts = outcome ? wanted[outcome] : [imported, refused];
  return readPage(db, incomingKeyset, parts, page.size);
}

/** Lists what others have imported of an application's sessions, the newest first. */
export function listOutgoing(
  db: MultiDatabase,
  viewer: ApplicationId,
  filter: ImportFilter,
  page: WantedPage,
): Promise<Page<ImportRecord>> {
  return readPage(db, outgoingKeyset, [outgoingImports(viewer, filter, page)], page.size);
}
