/**
 * Which folder of src/ may import which: arrows point one way, also those of types alone.
 * `make lint` holds it, and draws the picture in docs/architecture.md.
 */
const mayImport = {
  model: [],
  turns: ['model'],
  telemetry: ['model'],
  files: ['model', 'telemetry'],
  db: ['model', 'telemetry', 'files'],
  store: ['model', 'telemetry', 'db'],
  token: ['model', 'telemetry', 'files'],
  events: ['model', 'telemetry', 'db', 'store'],
  sweeps: ['model', 'telemetry', 'db', 'store'],
  withdrawals: ['model', 'telemetry', 'db', 'store'],
  import: ['model', 'turns', 'telemetry', 'db', 'store'],
  config: ['model', 'telemetry', 'files', 'db', 'import'],
  rpc: [
    ...['model', 'turns', 'telemetry', 'files', 'db', 'store', 'token', 'import', 'events'],
    ...['config', 'gen'],
  ],
  metrics: ['model', 'telemetry', 'db', 'store', 'import', 'rpc', 'relay'],
  demo: ['model', 'db', 'store'],
  prune: ['model', 'db', 'store'],
  relay: ['model', 'telemetry', 'files', 'client', 'gen', 'version.ts'],
  cli: [
    ...[
      'model',
      'telemetry',
      'files',
      'db',
      'store',
      'token',
      'config',
      'demo',
      'prune',
      'relay',
      'metrics',
      'serve.ts',
      'version.ts',
    ],
    // For the commands that are clients of the service.
    'client',
  ],
  client: ['gen'],
  gen: [],
};

const arrows = Object.entries(mayImport).map(([folder, others]) => ({
  name: `arrows-of-${folder}`,
  comment: `src/${folder} imports ${others.join(', ') || 'nothing of the others'}`,
  severity: 'error',
  from: { path: `^src/${folder}/` },
  to: { path: '^src/', pathNot: [folder, ...others].map((name) => `^src/${name}(/|$)`) },
}));

module.exports = {
  forbidden: [
    {
      name: 'no-circles',
      comment: 'Files that import each other can only be read together.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'no-folder-without-arrows',
      comment: 'A new folder of src/ says here what it may import.',
      severity: 'error',
      from: { path: `^src/(?!(${Object.keys(mayImport).join('|')})/)[^/]+/` },
      to: {},
    },
    {
      name: 'src-stands-alone',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^(test|bench|scripts|examples)/' },
    },
    ...arrows,
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^src/types/' },
    // Arrows of types alone count as well: they are what a reader has to follow.
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
  },
};
