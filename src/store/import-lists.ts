import type { MultiDatabase } from '../db/database';
import { pageOf, type Page, type WantedPage } from '../db/cursor';
import { read, readTogether } from '../db/query';
import type { ApplicationId } from '../model/ids';
import type { ImportFilter, ImportRecord, PlacedRecord } from './import-records';
import { incomingImports, incomingKeyset, outgoingImports } from './ledger/records';
import { refusalsOf } from './refusals';

/** What came of an attempt to import. */
export type AttemptOutcome = 'imported' | 'refused';

/**
 * Lists what an application has imported and what it was refused, the newest first.
 *
 * @param outcome undefined: both.
 */
export async function listIncoming(
  db: MultiDatabase,
  viewer: ApplicationId,
  filter: ImportFilter,
  outcome: AttemptOutcome | undefined,
  page: WantedPage,
): Promise<Page<ImportRecord>> {
  const imported = incomingImports(viewer, filter, page);
  const refused = refusalsOf(viewer, filter, page);
  const wanted = { imported: [imported], refused: [refused] };
  const found = await readTogether(db, outcome ? wanted[outcome] : [imported, refused]);
  return recordsOf(
    found.flat().toSorted((a, b) => incomingKeyset.compare(a.place, b.place)),
    page.size,
  );
}

/** Lists what others have imported of an application's sessions, the newest first. */
export async function listOutgoing(
  db: MultiDatabase,
  viewer: ApplicationId,
  filter: ImportFilter,
  page: WantedPage,
): Promise<Page<ImportRecord>> {
  return recordsOf(await read(db, outgoingImports(viewer, filter, page)), page.size);
}

function recordsOf(found: readonly PlacedRecord[], size: number): Page<ImportRecord> {
  const { items, end } = pageOf(found, size, ({ place }) => place);
  return { items: items.map(({ record }) => record), end };
}
