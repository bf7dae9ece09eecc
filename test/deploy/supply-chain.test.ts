import { expect } from 'chai';
import { documentsOf, textOf } from './files';

interface Workflow {
  readonly permissions: unknown;
  readonly jobs: Readonly<
    Record<
      string,
      {
        readonly permissions?: unknown;
        readonly strategy?: {
          readonly matrix: {
            readonly database: readonly string[];
            readonly include: readonly { readonly database: string }[];
          };
        };
        readonly services?: Readonly<Record<string, { readonly image: string }>>;
        readonly steps: readonly { readonly uses?: string; readonly run?: string }[];
      }
    >
  >;
}

/** Licences that ask no more than to be named where the program is passed on. */
const permissive = [
  'MIT',
  'Apache-2.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'ISC',
  'BlueOak-1.0.0',
  '0BSD',
  // Asks nothing at all: it dedicates the work to the public domain.
  'Unlicense',
];

const [workflow] = documentsOf('.github/workflows/ci.yaml') as [Workflow];
const [release] = documentsOf('.github/workflows/release.yaml') as [Workflow];
const jobs = Object.values(workflow.jobs);

/** What the lock file calls the packages of this repository. */
const ownPackages = ['', 'client', 'node_modules/session-import-client'];

describe('the supply chain', () => {
  it('has permissive licences alone in what runs in production', () => {
    const { packages } = JSON.parse(textOf('package-lock.json')) as {
      packages: Record<string, { readonly dev?: true; readonly license?: string }>;
    };
    const production = Object.entries(packages).filter(
      ([name, { dev }]) => !ownPackages.includes(name) && !dev,
    );
    expect(production.length).to.be.greaterThan(50);
    const others = production
      .map(([name, { license = 'none' }]) => ({ name, license }))
      .filter(({ license }) =>
        license
          .replace(/^\((.*)\)$/, '$1')
          .split(' AND ')
          .some((one) => !permissive.includes(one)),
      );
    expect(others).to.deep.equal([]);
  });

  it('is under the licence that package.json, the image and the LICENSE file name', () => {
    const { license } = JSON.parse(textOf('package.json')) as { license: string };
    expect(license).to.equal('Apache-2.0');
    expect(textOf('Dockerfile')).to.include(`org.opencontainers.image.licenses="${license}"`);
    expect(textOf('LICENSE')).to.include('Apache License').and.include('Version 2.0');
  });

  it('takes packages from the lock file alone, each with its checksum', () => {
    const { packages } = JSON.parse(textOf('package-lock.json')) as {
      packages: Record<string, { readonly integrity?: string }>;
    };
    const unchecked = Object.entries(packages).filter(
      ([name, { integrity }]) => !ownPackages.includes(name) && !integrity?.startsWith('sha512-'),
    );
    expect(unchecked.map(([name]) => name)).to.deep.equal([]);
    expect(textOf('Dockerfile')).not.to.match(/npm (i|install)\b/);
  });

  it('is checked by a workflow that may only read, with actions that nobody can change', () => {
    for (const { permissions } of [workflow, release]) {
      expect(permissions).to.deep.equal({ contents: 'read' });
    }
    for (const { permissions } of jobs) expect(permissions).to.equal(undefined);
    for (const { steps } of [...jobs, ...Object.values(release.jobs)]) {
      for (const { uses } of steps) {
        if (uses) expect(uses).to.match(/^actions\/[\w-]+@[0-9a-f]{40}$/);
      }
    }
    // For people, and for Dependabot, which keeps both up to date.
    for (const file of ['ci', 'release']) {
      const lines = [...textOf(`.github/workflows/${file}.yaml`).matchAll(/^.*\buses:.*$/gm)];
      for (const [line] of lines) expect(line).to.match(/@[0-9a-f]{40} # v\d+\.\d+\.\d+$/);
    }
  });

  it('is released from a tag, after the tests, by one job that may write', () => {
    expect(Object.keys(release.jobs)).to.deep.equal(['release']);
    const { permissions, steps = [] } = release.jobs['release'] ?? {};
    expect(permissions).to.deep.equal({ contents: 'write' });
    const runs = steps.map(({ run = '' }) => run);
    const published = runs.findIndex((run) => /docker push|gh release/.test(run));
    for (const command of ['make test', 'make test-image']) {
      expect(runs.indexOf(command), command).to.be.within(0, published);
    }
    const versions = ['package.json', 'client/package.json'].map(
      (file) => (JSON.parse(textOf(file)) as { version: string }).version,
    );
    expect(versions[1]).to.equal(versions[0]);
  });

  it('is checked by commands that are there: make targets, and the database of compose.yaml', () => {
    const targets = [...textOf('Makefile').matchAll(/^([a-z-]+):/gm)].map(([, target]) => target);
    const made = jobs
      .flatMap(({ steps }) => steps)
      .flatMap(({ run = '' }) =>
        [...run.matchAll(/\bmake ([a-z-]+)/g)].map(([, target]) => target),
      );
    expect(made).to.include.members(['test', 'test-image']);
    expect(targets).to.include.members(made);
    const { services } = documentsOf('compose.yaml')[0] as Pick<
      Workflow['jobs'][string],
      'services'
    >;
    const ours = services?.['mysql']?.image;
    const fixed = jobs
      .map((job) => job.services?.['mysql']?.image)
      .filter((image) => image !== undefined && !image.includes('matrix'));
    expect(fixed).to.deep.equal([ours]);
    expect(workflow.jobs['test']?.strategy?.matrix.database).to.deep.equal([ours]);
  });

  it('is checked on the databases that the README names', () => {
    const matrix = workflow.jobs['test']?.strategy?.matrix;
    const databases = [...(matrix?.database ?? []), ...(matrix?.include ?? [])].map((each) =>
      (typeof each === 'string' ? each : each.database).replace(/^(mysql:8\.4)\.\d+$/, '$1'),
    );
    const named: Readonly<Record<string, string>> = { mysql: 'MySQL', mariadb: 'MariaDB' };
    const names = databases.map((image) => {
      const [name = '', version = ''] = image.split(':');
      return `${named[name] ?? name} ${version}`;
    });
    expect(names.toSorted()).to.deep.equal([
      'MariaDB 10.11',
      'MariaDB 11',
      'MySQL 8.0',
      'MySQL 8.4',
      'MySQL 9',
    ]);
    for (const name of names) expect(textOf('README.md')).to.include(name);
  });

  it('has its alerts tested, which make test does only where promtool is installed', () => {
    const commands = jobs.flatMap(({ steps }) => steps).map(({ run }) => run);
    expect(commands).to.include('promtool test rules deploy/prometheus/alerts.test.yaml');
  });
});
