import type { SessionKind } from './session';

/** A table whose rows belong to one session, directly or below another relation. */
export interface Relation {
  /** Its name on the wire: the table's name without the kind. */
  readonly name: string;
  readonly table: string;
  /** The columns that order its rows within a session: the table's primary key, less the session. */
  readonly key: readonly string[];
  /** Its parent relation; undefined: its rows belong to the session itself. */
  readonly below: Below | undefined;
  /** By enum column: the prefix of its values in the contract. */
  readonly enums: Readonly<Record<string, string>>;
  /**
   * Columns that are not simply copied, and the SQL that makes them of the original row, which is
   * called `r`.
   */
  readonly overrides: Readonly<Record<string, string>>;
  /** The column with the last day on which a row's document is valid; undefined: the rows are not documents. */
  readonly expiry: string | undefined;
  /** The SQL condition on the rows `r` that a copy takes; undefined: it takes all of them. */
  readonly copied: string | undefined;
}

/** How the rows of a relation belong to the rows of its parent relation. */
export interface Below {
  /** The name of the other relation: the parent. */
  readonly relation: string;
  /** The column that names the parent's row by its ordinal. */
  readonly ordinal: string;
  /** The field of the parent's message that shows the rows. */
  readonly field: string;
  /** Set if the rows form trees among themselves. */
  readonly tree?: {
    /** The column that names the row above by its ordinal; null: there is none. */
    readonly ordinal: string;
    /** The field of the row's own message that shows the rows below it. */
    readonly field: string;
  };
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

/** What is said of a relation besides its name: all of it may be left out. */
type Details = Partial<Pick<Relation, 'below' | 'enums' | 'overrides' | 'expiry' | 'copied'>>;

const amlScreenings: Details = { enums: { entity_type: 'SCREENED_ENTITY_TYPE_' } };

const amlHits: Details = {
  below: { relation: 'aml_screenings', ordinal: 'screening_ordinal', field: 'hits' },
};

const keyPeople: Details = {
  below: {
    relation: 'key_people_checks',
    ordinal: 'check_ordinal',
    field: 'key_people',
    tree: { ordinal: 'parent_ordinal', field: 'owners' },
  },
  enums: { party_kind: 'PARTY_KIND_' },
  // A key person's own session is the source application's: the copy keeps it as provenance only.
  overrides: {
    kyc_session_id: 'NULL',
    // A copy of a copy must not tell where its own source had the key person from.
    source_kyc_session_id: 'r.kyc_session_id',
  },
};

/** The activity type of the log entry that says how a session was imported. */
export const importActivity = 'session_imported';

const logs: Details = {
  enums: { log_type: 'LOG_TYPE_' },
  // A copy of a copy must not tell how its own source was imported.
  copied: `r.activity_type <> '${importActivity}'`,
};

/**
 * The two kinds of session. A new relation is a migration, an entry here, and a message in
 * `session_relations.proto` with the names of its columns. Copying, counting, reading, nesting and the
 * tests of all that follow from these three; only the demo data is written by hand.
 */
export const kindSchemas: Readonly<Record<SessionKind, KindSchema>> = {
  user: schemaOf('user', 'vendor_users', {
    id_verifications: { expiry: 'expiration_date' },
    nfc_verifications: {},
    faces: {},
    liveness_checks: { enums: { method: 'LIVENESS_METHOD_' } },
    face_matches: {},
    aml_screenings: amlScreenings,
    aml_hits: amlHits,
    locations: {},
    proofs_of_address: { expiry: 'expiration_date' },
    phone_verifications: {},
    email_verifications: {},
    database_validations: {
      enums: { validation_type: 'DATABASE_VALIDATION_TYPE_', match_type: 'DATABASE_MATCH_TYPE_' },
    },
    questionnaire_responses: {},
    reviews: {},
    logs,
  }),
  business: schemaOf('business', 'vendor_businesses', {
    registry_checks: {},
    key_people_checks: {},
    key_people: keyPeople,
    documents: { expiry: 'expiration_date' },
    aml_screenings: amlScreenings,
    aml_hits: amlHits,
    phone_verifications: {},
    email_verifications: {},
    locations: {},
    questionnaire_responses: {},
    reviews: {},
    logs,
  }),
};

/** The relation of a kind that has a name; undefined: there is none. */
export function relationOf(kind: SessionKind, name: string): Relation | undefined {
  return kindSchemas[kind].relations.find((relation) => relation.name === name);
}

function schemaOf(
  kind: SessionKind,
  vendorEntities: string,
  relations: Readonly<Record<string, Details>>,
): KindSchema {
  return {
    kind,
    sessions: `${kind}_sessions`,
    vendorEntities,
    relations: Object.entries(relations).map(([name, details]) => {
      const { below, enums = {}, overrides = {}, expiry, copied } = details;
      return {
        name,
        table: `${kind}_${name}`,
        key: below ? [below.ordinal, 'ordinal'] : ['ordinal'],
        below,
        enums,
        overrides,
        expiry,
        copied,
      };
    }),
    logs: `${kind}_logs`,
    leftOut: new Set(),
  };
}
