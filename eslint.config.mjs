import eslint from '@eslint/js';
import prettier from 'eslint-config-prettier';
import tseslint from 'typescript-eslint';

/**
 * Who has the SQL about a table: one file or folder of src/store. Tables of sessions, of their relations
 * and of vendor entities are named by src/model/relations.ts, and never in a statement.
 */
const owners = {
  'accounts.ts': ['applications', 'workflows', 'api_keys'],
  'ledger/**': ['session_imports'],
  'refusals.ts': ['import_refusals'],
  'share-tokens.ts': ['share_tokens'],
  'session-numbers.ts': ['session_counters'],
  'relations/key-people.ts': ['business_key_people'],
};
const tables = Object.values(owners).flat();

/** Texts, and parts of texts, in which a statement begins that reads or writes one of some tables. */
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

export default tseslint.config(
  { ignores: ['dist/', 'src/gen/', 'node_modules/'] },
  eslint.configs.recommended,
  {
    files: ['**/*.cjs'],
    languageOptions: { globals: { module: 'writable' } },
  },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { project: './tsconfig.json' } },
    rules: {
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      // Ids are branded strings: which brand a reader gives one is the point of the parameter.
      '@typescript-eslint/no-unnecessary-type-parameters': 'off',
    },
  },
  {
    files: ['src/**/*.ts'],
    ignores: ['src/db/**', 'src/store/**'],
    rules: {
      'no-restricted-syntax': [
        'error',
        ...statementsAbout('\\w+', 'SQL about tables is for src/store.'),
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
  {
    files: ['test/**/*.ts'],
    rules: {
      // chai states its assertions as property reads: expect(x).to.be.undefined
      '@typescript-eslint/no-unused-expressions': 'off',
    },
  },
  prettier,
);
