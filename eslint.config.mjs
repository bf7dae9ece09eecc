import parser from '@typescript-eslint/parser';

/**
 * Who has the SQL about a table: one file or folder of src/store. Tables of sessions, of their relations
 * and of vendor entities are named by src/model/relations.ts, and never in a statement.
 */
const owners = {
  'accounts.ts': ['applications', 'workflows', 'api_keys'],
  'ledger/**': ['session_imports'],
  'refusals.ts': ['import_refusals'],
  '{received-,revoke-,}share-tokens.ts': ['share_tokens'],
  'connections/**': ['session_connections'],
  'session-numbers.ts': ['session_counters'],
  'retention.ts': ['session_retention'],
  'erasures.ts': ['session_erasures'],
  'events/outbox.ts': ['event_outbox'],
  'events/feed.ts': ['session_events'],
  'events/rounds.ts': ['event_rounds'],
  'withdrawals/**': ['session_withdrawals'],
  'sweeps.ts': ['source_sweeps'],
  'relations/key-people.ts': ['business_key_people'],
};
const tables = Object.values(owners).flat();

/**
 * Texts, and parts of texts, in which a statement begins that reads or writes one of some tables.
 *
 * @param {string} names
 * @param {string} message
 */
function statementsAbout(names, message) {
  const statement = `/\\b(FROM|INTO|JOIN|UPDATE)\\s+(${names})\\b/`;
  return [
    { selector: `TemplateElement[value.raw=${statement}]`, message },
    { selector: `Literal[value=${statement}]`, message },
    {
      selector: `CallExpression[callee.name=/^(db|trx)$/] > Literal[value=/^(${names})$/]`,
      message,
    },
  ];
}

/** A schema that is made in each call takes longer than all that it checks. */
const schemasInCalls = {
  selector:
    ':function :matches(CallExpression[callee.object.name="z"][callee.property.name="object"], ' +
    'CallExpression[callee.property.name="extend"])',
  message: 'Make the schema once, and give checkRequest what depends on the call.',
};

// The other rules, and the types, are checked by oxlint (.oxlintrc.json), which can not express these.
export default [
  { ignores: ['dist/', 'src/gen/'] },
  { files: ['src/**/*.ts'], languageOptions: { parser } },
  {
    files: ['src/**/*.ts'],
    ignores: ['src/db/**', 'src/store/**'],
    rules: {
      'no-restricted-syntax': [
        'error',
        ...statementsAbout('\\w+', 'SQL about tables is for src/store.'),
        schemasInCalls,
      ],
    },
  },
  {
    files: ['src/store/**/*.ts'],
    rules: {
      'no-restricted-syntax': [
        'error',
        ...statementsAbout(tables.join('|'), 'SQL about this table is for its owner in src/store.'),
      ],
    },
  },
  ...Object.entries(owners).map(([owner, owned]) => ({
    files: [`src/store/${owner}`],
    rules: {
      'no-restricted-syntax': [
        'error',
        ...statementsAbout(
          tables.filter((table) => !owned.includes(table)).join('|'),
          'SQL about this table is for its owner in src/store.',
        ),
      ],
    },
  })),
];
