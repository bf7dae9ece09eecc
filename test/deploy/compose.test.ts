import { existsSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'chai';
import { variables } from '../../src/config';
import {
  documentsOf,
  expectAccepted,
  expectKnown,
  imageEnvironment,
  imagePort,
  root,
  textOf,
} from './files';

interface Service {
  readonly image: string;
  readonly build?: string;
  readonly user?: string;
  readonly entrypoint?: readonly string[];
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly secrets?: readonly string[];
  readonly volumes?: readonly string[];
  readonly networks?: readonly string[];
  readonly ports?: readonly string[];
  readonly depends_on?: readonly string[] | Readonly<Record<string, { condition: string }>>;
  readonly stop_grace_period?: string;
}

interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly networks: Readonly<Record<string, unknown>>;
  readonly volumes: Readonly<Record<string, unknown>>;
  readonly secrets: Readonly<Record<string, { readonly file: string }>>;
}

interface Prometheus {
  readonly rule_files: readonly string[];
  readonly scrape_configs: readonly {
    readonly job_name: string;
    readonly static_configs: readonly { readonly targets: readonly string[] }[];
  }[];
}

const compose = documentsOf('compose.yaml')[0] as Compose;
const services = Object.entries(compose.services);
const ours = services.filter(([, { image }]) => image.startsWith('session-import:'));
const service = serviceOf('session-import');

function serviceOf(name: string): Service {
  const found = compose.services[name];
  if (!found) throw new Error(`there is no service `);
  return found;
}

describe('compose.yaml', () => {
  it('names foreign images by their exact version, and builds its own', () => {
    for (const [name, { image }] of services) {
      expect(image, name).to.match(/^(session-import:local|[\w./-]+:v?\d+\.\d+\.\d+)$/);
    }
    expect(ours.filter(([, { build }]) => build === '.')).to.have.length(1);
  });

  it('publishes nothing beyond this machine, and no database', () => {
    const ports = services.flatMap(([, { ports: published }]) => published ?? []);
    expect(ports.filter((port) => !/^127\.0\.0\.1:\d+:\d+$/.test(port))).to.deep.equal([]);
    expect(serviceOf('mysql')).not.to.have.property('ports');
    expect(service.ports?.map((port) => Number(port.split(':').at(-1)))).to.deep.equal([
      imagePort('GRPC_ADDRESS'),
      imagePort('METRICS_ADDRESS'),
    ]);
  });

  it('refers to nothing that is not there', () => {
    for (const [name, { secrets, volumes, networks, depends_on: others }] of services) {
      for (const secret of secrets ?? []) expect(compose.secrets, name).to.have.property(secret);
      for (const network of networks ?? []) {
        if (network !== 'default') expect(compose.networks, name).to.have.property(network);
      }
      for (const volume of volumes ?? []) {
        const [source = ''] = volume.split(':');
        if (!source.startsWith('.')) expect(compose.volumes, name).to.have.property(source);
        else expect(existsSync(path.join(root, source)), source).to.equal(true);
      }
      const names = Array.isArray(others) ? others : Object.keys(others ?? {});
      for (const other of names) expect(compose.services, name).to.have.property(String(other));
    }
  });

  it('keeps its secrets in files that git and the image do not take', () => {
    for (const { file } of Object.values(compose.secrets)) {
      expect(textOf('.gitignore').split('\n')).to.include(`${path.dirname(file)}/`);
    }
    for (const [name, { environment }] of services) {
      const secrets = Object.entries(environment ?? {}).filter(
        ([variable, value]) => /PASSWORD|SECRET|DATABASE_URL/.test(variable) && value !== 'yes',
      );
      for (const [variable, value] of secrets) {
        expect(variable, name).to.match(/_FILE$/);
        expect(compose.services[name]?.secrets, name).to.include(path.basename(value));
      }
    }
  });

  it('gives the service an environment that it accepts', () => {
    for (const [, { environment = {} }] of ours) expectKnown(environment);
    expect(service.volumes).to.deep.equal(['keys:/keys:ro']);
    expectAccepted(
      { ...imageEnvironment(), ...service.environment },
      (file) =>
        ({
          '/run/secrets/database-url': 'mysql://session_import:x@mysql:3306/session_import',
          '/keys/jwks.json': '{"keys":[]}',
          '/keys/signing-key.json': '{}',
        })[file] ?? '',
    );
  });

  it('has the user of the service make the keys that only their owner can read', () => {
    const image = /^USER (\d+):(\d+)$/m.exec(textOf('Dockerfile'))?.slice(1);
    expect(service).not.to.have.property('user');
    expect(serviceOf('cli')).not.to.have.property('user');
    expect(serviceOf('keys').entrypoint?.at(-1)).to.equal(
      `fs.chownSync('/keys', ${image?.join(', ') ?? ''})`,
    );
    expect(serviceOf('cli').depends_on).to.have.property('keys');
  });

  it('keeps the file of erasures on a volume of its own, which the user of the image can write to', () => {
    const { command, volumes, depends_on: others } = serviceOf('prune');
    expect(command?.slice(-2)).to.deep.equal(['--record', '/erasures/erasures.jsonl']);
    expect(volumes).to.deep.equal(['erasures:/erasures']);
    expect(others).to.have.property('erasures');
    const [keys = '', erasures] = ['keys', 'erasures'].map((name) =>
      serviceOf(name).entrypoint?.at(-1),
    );
    expect(erasures).to.equal(keys.replace('/keys', '/erasures'));
    expect(textOf('docs/operations.md')).to.include(`--replay ${command?.at(-1) ?? ''}`);
  });

  it('deletes events that are as old as the docs say', () => {
    const { command = [] } = serviceOf('prune');
    const at = command.indexOf('--events');
    expect(at).to.be.greaterThan(0);
    const option = command.slice(at, at + 2).join(' ');
    for (const file of ['docs/privacy.md', 'docs/operations.md']) {
      expect(textOf(file), file).to.include(`\`${option}\``);
    }
  });

  it('starts the service on a migrated database, and lets it finish what runs', () => {
    expect(service.depends_on).to.deep.equal({
      migrate: { condition: 'service_completed_successfully' },
    });
    expect(serviceOf('migrate').depends_on).to.deep.equal({
      mysql: { condition: 'service_healthy' },
    });
    expect(parseInt(service.stop_grace_period ?? '', 10)).to.be.greaterThan(
      Number(variables.SHUTDOWN_GRACE.default) + 5,
    );
  });

  it('has Prometheus read the metrics of the service, and the alerts', () => {
    const folder = 'deploy/prometheus';
    const [prometheus] = documentsOf(`${folder}/prometheus.yaml`) as [Prometheus];
    expect(prometheus.scrape_configs).to.deep.equal([
      {
        job_name: 'session-import',
        static_configs: [{ targets: [`session-import:${imagePort('METRICS_ADDRESS')}`] }],
      },
    ]);
    for (const file of prometheus.rule_files) {
      expect(existsSync(path.join(root, folder, file)), file).to.equal(true);
    }
  });
});
