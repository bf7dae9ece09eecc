import { fromBinary, toBinary, type ApplicationId, type VendorEntityId } from '../model/ids';
import type { Statement } from '../db/query';
import { inKeyOrder, type PlannedImport } from '../import/planned-import';
import type { KindSchema } from '../model/relations';

/** An application's vendor entity: its bytes in hexadecimal, since text would fold some of them. */
export type EntityKey = `${ApplicationId}/${string}`;

/** A row of {@link selectVendorEntities}. */
export type VendorEntityRow = Readonly<Record<'id' | 'application_id' | 'vendor_data', Buffer>>;

interface Wanted {
  readonly key: EntityKey;
  readonly id: VendorEntityId;
  readonly applicationId: ApplicationId;
  readonly vendorData: Buffer;
  readonly createdAt: Date;
}

/** The statement that reads the vendor entities that the calls name. */
export function selectVendorEntities(
  schema: KindSchema,
  calls: readonly PlannedImport[],
): Statement {
  const keys = [...wantedEntities(calls).values()].map(({ applicationId, vendorData }) => [
    toBinary(applicationId),
    vendorData,
  ]);
  return {
    sql: 'SELECT id, application_id, vendor_data FROM ?? WHERE (application_id, vendor_data) IN (?)',
    // A list must not be empty; nothing equals null.
    bindings: [schema.vendorEntities, keys.length > 0 ? keys : [[null, null]]],
  };
}

/** What {@link selectVendorEntities} has found. */
export function vendorEntities(
  rows: readonly VendorEntityRow[],
): ReadonlyMap<EntityKey, VendorEntityId> {
  return new Map(
    rows.map((row) => [
      entityKey(fromBinary<ApplicationId>(row.application_id), row.vendor_data),
      fromBinary<VendorEntityId>(row.id),
    ]),
  );
}

/** The vendor entities of some calls: those that exist, and those that have to be made. */
export interface VendorEntities {
  /** Makes those that do not exist, in key order; undefined if there are none. */
  readonly create: Statement | undefined;
  /** The entity's id for a call; null if the call names none. */
  readonly idOf: (call: PlannedImport) => VendorEntityId | null;
}

/**
 * Decides on the vendor entities that the calls name. An entity that somebody else makes or deletes at
 * the same time, is another than the one decided on: then the session that names it is refused by its
 * foreign key, which counts as a conflict, and the next try sees what is there.
 *
 * @param existing the entities that were found, of those that the calls name.
 */
export function planVendorEntities(
  schema: KindSchema,
  calls: readonly PlannedImport[],
  existing: ReadonlyMap<EntityKey, VendorEntityId>,
): VendorEntities {
  const wanted = wantedEntities(calls);
  const missing = [...wanted.values()].filter(({ key }) => !existing.has(key));
  const rows = inKeyOrder(missing, ({ key }) => key).map((entity) => [
    toBinary(entity.id),
    toBinary(entity.applicationId),
    entity.vendorData,
    entity.createdAt,
  ]);
  return {
    create:
      rows.length === 0
        ? undefined
        : {
            sql: 'INSERT IGNORE INTO ?? (id, application_id, vendor_data, created_at) VALUES ?',
            bindings: [schema.vendorEntities, rows],
          },
    idOf: (call) => {
      const key = wantedEntity(call)?.key;
      return key === undefined ? null : (existing.get(key) ?? wanted.get(key)?.id ?? null);
    },
  };
}

/** Every entity that the calls name, once. */
function wantedEntities(calls: readonly PlannedImport[]): ReadonlyMap<EntityKey, Wanted> {
  const wanted = new Map<EntityKey, Wanted>();
  for (const call of calls) {
    const entity = wantedEntity(call);
    if (entity && !wanted.has(entity.key)) wanted.set(entity.key, entity);
  }
  return wanted;
}

function wantedEntity({ request, vendorEntityId, createdAt }: PlannedImport): Wanted | undefined {
  if (request.vendorData === null) return undefined;
  const vendorData = Buffer.from(request.vendorData, 'utf8');
  return {
    key: entityKey(request.applicationId, vendorData),
    id: vendorEntityId,
    applicationId: request.applicationId,
    vendorData,
    createdAt,
  };
}

function entityKey(applicationId: ApplicationId, vendorData: Buffer): EntityKey {
  return `${applicationId}/${vendorData.toString('hex')}`;
}
