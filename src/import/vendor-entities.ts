import type { Statement } from '../db/query';
import type { VendorEntityId } from '../model/ids';
import { must } from '../model/must';
import type { KindSchema } from '../model/relations';
import {
  insertVendorEntities,
  vendorKey,
  type VendorEntity,
  type VendorKey,
  type VendorName,
} from '../store/vendor-entities';
import type { PlannedImport } from './planned-import';

/** The names of the vendor entities of some calls, each once. */
export function vendorNamesOf(calls: readonly PlannedImport[]): readonly VendorName[] {
  return [...wantedEntities(calls).values()];
}

/** The vendor entities of some calls: those that exist, and those that have to be made. */
export interface VendorEntities {
  /** Makes those that do not exist, in key order; undefined if there are none. */
  readonly create: Statement | undefined;
  /** The entity's id for a call; null if the call names none. */
  readonly idOf: (call: PlannedImport) => VendorEntityId | null;
}

/**
 * Decides which vendor entities of the calls exist and which must be created. Somebody else may
 * create or delete one of them at the same time. Then the foreign key refuses the new session. That
 * counts as a conflict, and the next try reads the entities again.
 *
 * @param existing the entities that were found, of those that the calls name.
 */
export function planVendorEntities(
  schema: KindSchema,
  calls: readonly PlannedImport[],
  existing: ReadonlyMap<VendorKey, VendorEntityId>,
): VendorEntities {
  const wanted = wantedEntities(calls);
  const missing = [...wanted].filter(([key]) => !existing.has(key)).map(([, entity]) => entity);
  return {
    create: missing.length === 0 ? undefined : insertVendorEntities(schema, missing),
    idOf: (call) => {
      const entity = entityOf(call);
      if (!entity) return null;
      const key = vendorKey(entity);
      return existing.get(key) ?? must(wanted.get(key), 'a vendor entity that a call names').id;
    },
  };
}

/** Every entity that the calls name, once. */
function wantedEntities(calls: readonly PlannedImport[]): ReadonlyMap<VendorKey, VendorEntity> {
  const wanted = new Map<VendorKey, VendorEntity>();
  for (const call of calls) {
    const entity = entityOf(call);
    if (!entity) continue;
    const key = vendorKey(entity);
    if (!wanted.has(key)) wanted.set(key, entity);
  }
  return wanted;
}

function entityOf({ request, vendorEntityId, createdAt }: PlannedImport): VendorEntity | undefined {
  if (request.vendorData === null) return undefined;
  return {
    id: vendorEntityId,
    applicationId: request.applicationId,
    vendorData: Buffer.from(request.vendorData, 'utf8'),
    createdAt,
  };
}
