import type { SessionKind } from './session';

/** A table whose rows belong to one session, directly or below another relation. */
export interface Relation {
  /** Its name on the wire: the table's name without the kind. */
  readonly name: string;
  readonly table: string;
  /**
   * Columns that are not simply copied, and the SQL that makes them of the original row, which is
   * called `r`.
   */
  readonly overrides: Readonly<Record<string, string>>;
}

/** How sessions of one kind are stored. */
export interface KindSchema {
  readonly kind: SessionKind;
  readonly sessions: string;
  readonly vendorEntities: string;
  /** Every relation of the kind, parents before children. */
  readonly relations: readonly Relation[];
  /** Where the import itself is recorded: one of the relations. */
  readonly logs: string;
  /** Tables that hang on a session and are left out of a copy, on purpose. */
  readonly leftOut: ReadonlySet<string>;
}

/** Columns of a session that a copy takes from its original: what describes the check. */
export const carriedColumns = ['features', 'expected_details', 'contact_details', 'language'];

/** Columns of a session that a copy gets anew. */
export const freshColumns = [
  'id',
  'application_id',
  'session_number',
  'session_token',
  'status',
  'workflow_id',
  'workflow_version',
  'vendor_entity_id',
  'vendor_data',
  'shared_from_session_id',
  'shared_from_application_id',
  'created_at',
  'updated_at',
] as const;

export type FreshColumn = (typeof freshColumns)[number];

/** Columns of a session that stay behind: they belong to the source application's integration. */
export const leftBehindColumns = ['callback', 'metadata'];

/** A key person's own session is the source application's: the copy keeps it as provenance only. */
const keyPeopleOverrides = {
  kyc_session_id: 'NULL',
  source_kyc_session_id: 'COALESCE(r.kyc_session_id, r.source_kyc_session_id)',
};

/** The two kinds of session. A new relation is a migration and a line here, and no other code. */
export const kindSchemas: Readonly<Record<SessionKind, KindSchema>> = {
  user: schemaOf('user', 'vendor_users', [
    ['id_verifications'],
    ['nfc_verifications'],
    ['faces'],
    ['liveness_checks'],
    ['face_matches'],
    ['aml_screenings'],
    ['aml_hits'],
    ['locations'],
    ['proofs_of_address'],
    ['phone_verifications'],
    ['email_verifications'],
    ['database_validations'],
    ['questionnaire_responses'],
    ['reviews'],
    ['logs'],
  ]),
  business: schemaOf('business', 'vendor_businesses', [
    ['registry_checks'],
    ['key_people_checks'],
    ['key_people', keyPeopleOverrides],
    ['documents'],
    ['aml_screenings'],
    ['aml_hits'],
    ['phone_verifications'],
    ['email_verifications'],
    ['locations'],
    ['questionnaire_responses'],
    ['reviews'],
    ['logs'],
  ]),
};

function schemaOf(
  kind: SessionKind,
  vendorEntities: string,
  relations: readonly (readonly [name: string, overrides?: Readonly<Record<string, string>>])[],
): KindSchema {
  return {
    kind,
    sessions: `${kind}_sessions`,
    vendorEntities,
    relations: relations.map(([name, overrides = {}]) => ({
      name,
      table: `${kind}_${name}`,
      overrides,
    })),
    logs: `${kind}_logs`,
    leftOut: new Set(),
  };
}
