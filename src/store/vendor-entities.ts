import { inKeyOrder } from '../db/key-order';
import { inList, query, type Query, type Statement } from '../db/query';
import { fromBinary, toBinary, type ApplicationId, type VendorEntityId } from '../model/ids';
import type { KindSchema } from '../model/relations';

/** An application's own name for a person or a company. It is compared byte for byte. */
export interface VendorName {
  readonly applicationId: ApplicationId;
  readonly vendorData: Buffer;
}

/** A vendor entity: what sessions with the same name belong to. */
export interface VendorEntity extends VendorName {
  readonly id: VendorEntityId;
  readonly createdAt: Date;
}

/** A name as a key of a map. Hexadecimal, because different bytes can become the same text. */
export type VendorKey = `${ApplicationId}/${string}`;

/** The key of a name. */
export function vendorKey({ applicationId, vendorData }: VendorName): VendorKey {
  return `${applicationId}/${vendorData.toString('hex')}`;
}

type Row = Readonly<Record<'id' | 'application_id' | 'vendor_data', Buffer>>;

/** The vendor entities with the given names. Names that do not exist are missing. */
export function vendorEntitiesByName(
  schema: KindSchema,
  names: readonly VendorName[],
): Query<ReadonlyMap<VendorKey, VendorEntityId>> {
  const keys = names.map(({ applicationId, vendorData }) => [toBinary(applicationId), vendorData]);
  return query(
    {
      sql: 'SELECT id, application_id, vendor_data FROM ?? WHERE (application_id, vendor_data) IN (?)',
      bindings: [schema.vendorEntities, inList(keys, [null, null])],
    },
    (found: Row[]) =>
      new Map(
        found.map(({ id, application_id: applicationId, vendor_data: vendorData }) => [
          vendorKey({ applicationId: fromBinary(applicationId), vendorData }),
          fromBinary(id),
        ]),
      ),
  );
}

/** Creates vendor entities, in key order; one that somebody else has created meanwhile is left as it is. */
export function insertVendorEntities(
  schema: KindSchema,
  entities: readonly VendorEntity[],
): Statement {
  const values = inKeyOrder(entities, vendorKey).map((entity) => [
    toBinary(entity.id),
    toBinary(entity.applicationId),
    entity.vendorData,
    entity.createdAt,
  ]);
  return {
    sql: `INSERT INTO ?? (id, application_id, vendor_data, created_at) VALUES ?
          ON DUPLICATE KEY UPDATE id = id`,
    bindings: [schema.vendorEntities, values],
  };
}

/** A subquery for the id of the vendor entity with a name. */
export function vendorEntityIdByName(
  schema: KindSchema,
  { applicationId, vendorData }: VendorName,
): Statement {
  return {
    sql: '(SELECT v.id FROM ?? v WHERE v.application_id = ? AND v.vendor_data = ?)',
    bindings: [schema.vendorEntities, toBinary(applicationId), vendorData],
  };
}

/** Deletes a vendor entity if no session belongs to it any more. */
export function deleteUnusedVendorEntity(
  { vendorEntities, sessions }: KindSchema,
  id: VendorEntityId,
): Statement {
  return {
    sql: 'DELETE FROM ?? WHERE id = ? AND NOT EXISTS (SELECT 1 FROM ?? s WHERE s.vendor_entity_id = ?)',
    bindings: [vendorEntities, toBinary(id), sessions, toBinary(id)],
  };
}
