import { Overtaken } from '../db/errors';
import { fromBinary, toBinary, type ApplicationId, type VendorEntityId } from '../db/ids';
import { read, write } from '../db/query';
import { inKeyOrder, type PlannedImport, type Transaction } from './planned-import';
import type { KindSchema } from './relations';

/** An application's vendor entity: its bytes in hexadecimal, since text would fold some of them. */
type EntityKey = `${ApplicationId}/${string}`;

interface Wanted {
  readonly key: EntityKey;
  readonly id: VendorEntityId;
  readonly applicationId: ApplicationId;
  readonly vendorData: Buffer;
  readonly createdAt: Date;
}

/**
 * Finds the vendor entities that the calls name, and makes those that do not exist, in key order.
 *
 * @returns the entity's id for a call, or null if the call names none.
 */
export async function ensureVendorEntities(
  trx: Transaction,
  schema: KindSchema,
  calls: readonly PlannedImport[],
): Promise<(call: PlannedImport) => VendorEntityId | null> {
  const wanted = new Map<EntityKey, Wanted>();
  for (const call of calls) {
    const entity = wantedEntity(call);
    if (entity && !wanted.has(entity.key)) wanted.set(entity.key, entity);
  }
  const found = await readEntities(trx, schema, [...wanted.values()]);
  const missing = [...wanted.values()].filter(({ key }) => !found.has(key));
  for (const [key, id] of await createEntities(trx, schema, missing)) found.set(key, id);

  return (call) => {
    const key = wantedEntity(call)?.key;
    if (key === undefined) return null;
    const id = found.get(key);
    if (id === undefined) throw new Overtaken('a vendor entity was deleted');
    return id;
  };
}

function wantedEntity({ request, vendorEntityId, createdAt }: PlannedImport): Wanted | undefined {
  if (request.vendorData === null) return undefined;
  const vendorData = Buffer.from(request.vendorData, 'utf8');
  return {
    key: `${request.applicationId}/${vendorData.toString('hex')}`,
    id: vendorEntityId,
    applicationId: request.applicationId,
    vendorData,
    createdAt,
  };
}

async function readEntities(
  trx: Transaction,
  schema: KindSchema,
  wanted: readonly Wanted[],
): Promise<Map<EntityKey, VendorEntityId>> {
  if (wanted.length === 0) return new Map();
  const rows = await read<Record<'id' | 'application_id' | 'vendor_data', Buffer>>(
    trx,
    'SELECT id, application_id, vendor_data FROM ?? WHERE (application_id, vendor_data) IN (?)',
    [
      schema.vendorEntities,
      wanted.map(({ applicationId, vendorData }) => [toBinary(applicationId), vendorData]),
    ],
  );
  return new Map(
    rows.map((row) => [
      `${fromBinary<ApplicationId>(row.application_id)}/${row.vendor_data.toString('hex')}`,
      fromBinary<VendorEntityId>(row.id),
    ]),
  );
}

async function createEntities(
  trx: Transaction,
  schema: KindSchema,
  missing: readonly Wanted[],
): Promise<Map<EntityKey, VendorEntityId>> {
  if (missing.length === 0) return new Map();
  const rows = inKeyOrder(missing, ({ key }) => key).map((entity) => [
    toBinary(entity.id),
    toBinary(entity.applicationId),
    entity.vendorData,
    entity.createdAt,
  ]);
  const result = await write(
    trx,
    'INSERT IGNORE INTO ?? (id, application_id, vendor_data, created_at) VALUES ?',
    [schema.vendorEntities, rows],
  );
  if (result.affectedRows === missing.length)
    return new Map(missing.map(({ key, id }) => [key, id]));
  // Another transaction was quicker with some of them, and has been committed.
  return readEntities(trx, schema, missing);
}
