import { readdirSync } from 'node:fs';
import path from 'node:path';
import { parseEnv } from 'node:util';
import { expect } from 'chai';
import type { IDeployment } from 'kubernetes-models/apps/v1';
import type { IHorizontalPodAutoscaler } from 'kubernetes-models/autoscaling/v2';
import type { ICronJob, IJob } from 'kubernetes-models/batch/v1';
import type { INetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1';
import type { IPodDisruptionBudget } from 'kubernetes-models/policy/v1';
import type {
  IContainer,
  IPersistentVolumeClaim,
  ISecret,
  IService,
  IServiceAccount,
} from 'kubernetes-models/v1';
import ts from 'typescript';
import { createProgram } from '../../src/cli/program';
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

const folder = 'deploy/kubernetes';

interface Kustomization {
  readonly resources: readonly string[];
  readonly images: readonly { readonly name: string; readonly newTag: string }[];
}

type Workload = IDeployment | IJob;
type Labels = Readonly<Record<string, string>>;

/** The documents of a file below deploy/kubernetes, as the kinds that they are known to have. */
function manifests<T>(file: string): T[] {
  return documentsOf(path.join(folder, file), '1.1') as T[];
}

function manifest<T>(file: string): T {
  const [only] = manifests<T>(file);
  if (only === undefined) throw new Error(`${file} is empty`);
  return only;
}

const deployment = manifest<IDeployment>('deployment.yaml');
const migration = manifest<IJob>('migration/job.yaml');
const relaying = manifest<IDeployment>('relay/deployment.yaml');
const cronJob = manifest<ICronJob>('prune/cron-job.yaml');
/** The job that is made every night. */
const pruning: IJob = { apiVersion: 'batch/v1', kind: 'Job', ...cronJob.spec?.jobTemplate };
const { version } = JSON.parse(textOf('package.json')) as { version: string };

/**
 * What Kubernetes would not understand of a manifest: the compiler holds it against Kubernetes' types,
 * and objects that are written out may have no member that their type does not know.
 */
function mistakesIn(objects: readonly unknown[]): string[] {
  const file = path.join(root, 'test', 'deploy', 'manifests.ts');
  const source = objects.map((object, index) => {
    const { apiVersion, kind } = object as { apiVersion: string; kind: string };
    const type = `import('kubernetes-models/${apiVersion}').I${kind}`;
    return `export const manifest${index}: ${type} = ${JSON.stringify(object)};`;
  });
  const options: ts.CompilerOptions = {
    noEmit: true,
    strict: true,
    skipLibCheck: true,
    // Without the types of browsers, which take longer to read than those of Kubernetes.
    lib: ['lib.es2022.d.ts'],
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    types: [],
  };
  const host = ts.createCompilerHost(options);
  const getSourceFile = host.getSourceFile.bind(host);
  host.getSourceFile = (name, target) =>
    name === file
      ? ts.createSourceFile(name, source.join('\n'), target)
      : getSourceFile(name, target);
  const program = ts.createProgram([file], options, host);
  return ts
    .getPreEmitDiagnostics(program)
    .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'));
}

describe('the Kubernetes manifests', () => {
  it('are what Kubernetes understands, to the last field', () => {
    const files = ['', 'migration', 'prune', 'relay'].flatMap((below) =>
      readdirSync(path.join(root, folder, below))
        .map((name) => path.join(below, name))
        .filter((name) => name.endsWith('.yaml')),
    );
    // Kinds that are not Kubernetes' own.
    const foreign = files.filter((name) => /(kustomization|pod-monitor)\.yaml$/.test(name));
    expect(foreign).to.have.length(6);
    const all = files.filter((name) => !foreign.includes(name)).flatMap((name) => manifests(name));
    const misspelt = structuredClone(deployment) as { spec: { template: { spec: object } } };
    Object.assign(misspelt.spec.template.spec, { terminationGracePeriod: 45 });

    // All at once, because reading the types of Kubernetes takes seconds.
    const [mistake, ...others] = mistakesIn([misspelt, ...all]);
    expect(mistake).to.include('"terminationGracePeriod"');
    expect(others).to.deep.equal([]);
  });

  for (const [below, expected] of [
    ['', ['kustomization.yaml', 'namespace.yaml', 'pod-monitor.yaml', 'secrets.example.yaml']],
    ['migration', ['kustomization.yaml']],
    ['prune', ['kustomization.yaml']],
    ['relay', ['kustomization.yaml', 'pod-monitor.yaml']],
  ] as const) {
    it(`are all listed in ${path.join(folder, below)}/kustomization.yaml, but those that are applied apart`, () => {
      const { resources } = manifest<Kustomization>(path.join(below, 'kustomization.yaml'));
      const files = readdirSync(path.join(root, folder, below)).filter((name) =>
        name.endsWith('.yaml'),
      );
      expect([...resources, ...expected].sort()).to.deep.equal(files.sort());
    });

    it(`name in ${path.join(folder, below)} the image of this version`, () => {
      const { images } = manifest<Kustomization>(path.join(below, 'kustomization.yaml'));
      expect(images.map(({ name, newTag }) => [name, newTag])).to.deep.equal([
        ['session-import', version],
      ]);
    });
  }

  it('have a migration of their own for each version', () => {
    expect(migration.metadata?.name).to.equal(
      `session-import-migrate-${version.replaceAll('.', '-')}`,
    );
  });

  it('give the service an environment that it accepts, and files that are in its secrets', () => {
    const config = parseEnv(textOf(path.join(folder, 'config.env'))) as Record<string, string>;
    const environment = { ...imageEnvironment(), ...config, ...environmentOf(deployment) };
    expectKnown(environment);
    expectAccepted(environment, (file) => contentOf(deployment, file));
  });

  it('say where every variable is explained', () => {
    const text = textOf(path.join(folder, 'config.env'));
    const [, page = ''] = /(\S+\.md) explains every variable/.exec(text) ?? [];
    const explained = textOf(page);
    for (const name of Object.keys(variables)) expect(explained).to.include(`| \`${name}\``);
    // A full stop after an address is not part of it, so it must not be inside of its quotes.
    expect(explained).not.to.match(/\w\.`/);
  });

  it('can do without the key that signs, and have it where config.env would look for it', () => {
    const [, file] =
      /^# SHARE_TOKEN_SIGNING_KEY=(.+)$/m.exec(textOf(path.join(folder, 'config.env'))) ?? [];
    expect(JSON.parse(contentOf(deployment, file ?? ''))).to.include.keys('alg', 'kid', 'd');
    const volumes = deployment.spec?.template.spec?.volumes ?? [];
    const optional = volumes.filter(({ secret }) => secret?.optional === true);
    expect(optional.map(({ name }) => name)).to.deep.equal(['signing']);
  });

  it('give both jobs an environment that the service would accept', () => {
    const others = {
      SHARE_TOKEN_JWKS: 'x',
      SESSION_BASE_URL: 'https://x',
      GRPC_ADDRESS: '[::1]:0',
    };
    for (const job of [migration, pruning]) {
      const environment = environmentOf(job);
      expectKnown(environment);
      expectAccepted({ ...others, ...environment }, (file) => contentOf(job, file));
    }
  });

  it('run a command of the program in each job', () => {
    const known = createProgram().commands.map((command) => command.name());
    for (const job of [migration, pruning]) {
      expect(known).to.include(containerOf(job).args?.[0]);
    }
  });

  it('run one relay at a time, with options that it knows and files that are there', () => {
    expect(relaying.spec).to.deep.include({ replicas: 1, strategy: { type: 'Recreate' } });
    const [name, ...args] = containerOf(relaying).args ?? [];
    const command = createProgram().commands.find((one) => one.name() === name);
    const given = new Map(args.map((arg) => arg.split('=') as [string, string]));
    const needed = command?.options.filter(({ mandatory }) => mandatory).map(({ long }) => long);
    expect([...given.keys()]).to.include.members(needed ?? []);
    expect(command?.options.map(({ long }) => long)).to.include.members([...given.keys()]);
    for (const option of ['--cacert', '--api-key-file', '--secret-file']) {
      expect(contentOf(relaying, given.get(option) ?? '')).not.to.equal('');
    }
    const service = manifest<IService>('service.yaml').metadata?.name ?? '';
    expect(given.get('--address')).to.equal(
      `dns:///${service}.session-import.svc.cluster.local:${imagePort('GRPC_ADDRESS')}`,
    );
    const grace = relaying.spec?.template.spec?.terminationGracePeriodSeconds;
    expect(grace).to.be.greaterThan(Number(command?.opts()['timeout']) + 5);
  });

  it('let Prometheus and the probes of the relay reach its metrics, and nobody else', () => {
    const { args, ports, ...probes } = containerOf(relaying);
    const [port] = ports ?? [];
    expect(args).to.include(`--metrics-address=0.0.0.0:${port?.containerPort}`);
    expect(
      [probes.startupProbe, probes.livenessProbe, probes.readinessProbe].map(
        (probe) => probe?.httpGet,
      ),
    ).to.deep.equal(['/livez', '/livez', '/readyz'].map((url) => ({ path: url, port: 'metrics' })));
    const { ingress } = manifest<INetworkPolicy>('relay/network-policy.yaml').spec ?? {};
    expect(ingress?.flatMap(({ ports: open }) => open)).to.deep.equal([{ port: port?.name }]);
    expect(monitored('relay/pod-monitor.yaml').podMetricsEndpoints[0]?.port).to.equal(port?.name);
  });

  it('keep the cursor of the relay on a volume that outlives its pod', () => {
    const file = containerOf(relaying).args?.find((arg) => arg.startsWith('--cursor-file='));
    const folderOfCursor = path.dirname(file?.split('=')[1] ?? '');
    const mounts = containerOf(relaying).volumeMounts ?? [];
    const mount = mounts.find(({ mountPath }) => mountPath === folderOfCursor);
    expect(mount).not.to.include({ readOnly: true });
    const pod = relaying.spec?.template.spec;
    const volume = pod?.volumes?.find((one) => one.name === mount?.name);
    const claim = manifest<IPersistentVolumeClaim>('relay/volume-claim.yaml');
    expect(volume?.persistentVolumeClaim?.claimName).to.equal(claim.metadata?.name);
    expect(pod?.securityContext?.fsGroup).to.equal(pod?.securityContext?.runAsGroup);
  });

  it('keep the file of erasures on a volume that outlives the job and that it can write to', () => {
    const [flag, file = ''] = containerOf(pruning).args?.slice(-2) ?? [];
    expect(flag).to.equal('--record');
    const mount = containerOf(pruning).volumeMounts?.find(
      ({ mountPath }) => mountPath === path.dirname(file),
    );
    expect(mount).not.to.include({ readOnly: true });
    const pod = pruning.spec?.template.spec;
    const volume = pod?.volumes?.find(({ name }) => name === mount?.name);
    const claim = manifest<IPersistentVolumeClaim>('prune/volume-claim.yaml');
    expect(volume?.persistentVolumeClaim?.claimName).to.equal(claim.metadata?.name);
    expect(pod?.securityContext?.fsGroup).to.equal(pod?.securityContext?.runAsGroup);
    // The documented replay uses the same file.
    expect(textOf('docs/operations.md')).to.include(`"--replay","${file}"`);
  });

  it('delete events that are as old as the docs say', () => {
    const { args = [] } = containerOf(pruning);
    const at = args.indexOf('--events');
    expect(at).to.be.greaterThan(0);
    const option = args.slice(at, at + 2).join(' ');
    for (const file of ['docs/privacy.md', 'docs/operations.md']) {
      expect(textOf(file), file).to.include(`\`${option}\``);
    }
  });

  it('keep a pod for longer than it takes to withdraw it and to finish what runs', () => {
    const pod = deployment.spec?.template.spec;
    const withdrawal = containerOf(deployment).lifecycle?.preStop?.sleep?.seconds ?? NaN;
    expect(pod?.terminationGracePeriodSeconds).to.be.greaterThan(
      withdrawal + Number(variables.SHUTDOWN_GRACE.default) + 5,
    );
  });

  for (const workload of [deployment, migration, pruning, relaying]) {
    const { name } = containerOf(workload);
    it(`confine the pods of ${name} as the restricted Pod Security Standard asks`, () => {
      const pod = workload.spec?.template.spec;
      expect(pod?.securityContext).to.deep.include({
        runAsNonRoot: true,
        seccompProfile: { type: 'RuntimeDefault' },
      });
      expect(pod).to.include({ automountServiceAccountToken: false });
      expect(pod).not.to.have.any.keys('hostNetwork', 'hostPID', 'hostIPC', 'initContainers');
      const others = pod?.volumes?.filter(
        (volume) => !volume.secret && !volume.persistentVolumeClaim,
      );
      expect(others).to.deep.equal([]);
      const { securityContext, resources } = containerOf(workload);
      expect(securityContext).to.deep.equal({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      });
      expect(resources?.limits).to.have.property('memory', resources?.requests?.['memory']);
    });
  }

  it('agree about ports with the image, with each other, and with what the service answers', () => {
    const { ports, startupProbe, livenessProbe, readinessProbe } = containerOf(deployment);
    expect(ports).to.deep.equal([
      { name: 'grpc', containerPort: imagePort('GRPC_ADDRESS') },
      { name: 'metrics', containerPort: imagePort('METRICS_ADDRESS') },
    ]);
    expect(
      [startupProbe, livenessProbe, readinessProbe].map((probe) => probe?.httpGet),
    ).to.deep.equal(['/livez', '/livez', '/readyz'].map((url) => ({ path: url, port: 'metrics' })));
    const service = manifest<IService>('service.yaml');
    expect(service.spec?.ports).to.deep.equal([
      { name: 'grpc', port: imagePort('GRPC_ADDRESS'), targetPort: 'grpc' },
    ]);
    const policy = manifest<INetworkPolicy>('network-policy.yaml');
    const open = policy.spec?.ingress?.flatMap((rule) => rule.ports?.map(({ port }) => port));
    expect(open).to.deep.equal(['grpc', 'metrics']);
    expect(monitored().podMetricsEndpoints.map(({ port }) => port)).to.deep.equal(['metrics']);
  });

  it('select the pods that they are meant for', () => {
    const service = manifest<IService>('service.yaml');
    const budget = manifest<IPodDisruptionBudget>('disruption-budget.yaml');
    const policy = manifest<INetworkPolicy>('network-policy.yaml');
    const ofMigration = manifest<INetworkPolicy>('migration/network-policy.yaml');
    const spread = deployment.spec?.template.spec?.topologySpreadConstraints ?? [];
    expect(spread).to.have.length(2);
    const selectors = [
      deployment.spec?.selector.matchLabels,
      service.spec?.selector,
      budget.spec?.selector?.matchLabels,
      policy.spec?.podSelector.matchLabels,
      monitored().selector.matchLabels,
      ...spread.map(({ labelSelector }) => labelSelector?.matchLabels),
    ];
    const labels = deployment.spec?.template.metadata?.labels;
    for (const selector of selectors) expect(selector).to.deep.equal(labels);
    const labelsOfMigration = migration.spec?.template.metadata?.labels;
    expect(ofMigration.spec?.podSelector.matchLabels).to.deep.equal(labelsOfMigration);
    expect(labelsOfMigration).not.to.deep.equal(labels);
    const ofPruning = manifest<INetworkPolicy>('prune/network-policy.yaml');
    const labelsOfPruning = pruning.spec?.template.metadata?.labels;
    expect(ofPruning.spec?.podSelector.matchLabels).to.deep.equal(labelsOfPruning);
    expect(labelsOfPruning).not.to.deep.equal(labels);
    const ofRelay = manifest<INetworkPolicy>('relay/network-policy.yaml').spec;
    const labelsOfRelay = relaying.spec?.template.metadata?.labels;
    expect(relaying.spec?.selector.matchLabels).to.deep.equal(labelsOfRelay);
    expect(ofRelay?.podSelector.matchLabels).to.deep.equal(labelsOfRelay);
    expect(labelsOfRelay).not.to.deep.equal(labels);
    expect(monitored('relay/pod-monitor.yaml').selector.matchLabels).to.deep.equal(labelsOfRelay);
    const [, toService] = ofRelay?.egress ?? [];
    expect(toService?.to?.[0]?.podSelector?.matchLabels).to.deep.equal(labels);
    expect(policy.spec?.ingress?.[0]?.from?.[1]?.podSelector?.matchLabels).to.deep.equal(
      labelsOfRelay,
    );
    const { scaleTargetRef } = manifest<IHorizontalPodAutoscaler>('autoscaler.yaml').spec ?? {};
    expect(scaleTargetRef).to.deep.equal({
      apiVersion: deployment.apiVersion,
      kind: deployment.kind,
      name: deployment.metadata?.name,
    });
    const account = manifest<IServiceAccount>('service-account.yaml');
    expect(deployment.spec?.template.spec?.serviceAccountName).to.equal(account.metadata?.name);
  });
});

function monitored(file = 'pod-monitor.yaml') {
  const { spec } = manifest<{
    spec: {
      selector: { matchLabels: Labels };
      podMetricsEndpoints: readonly { port: string }[];
    };
  }>(file);
  return spec;
}

function containerOf(workload: Workload): IContainer {
  const [container, ...others] = workload.spec?.template.spec?.containers ?? [];
  if (!container || others.length > 0) throw new Error(`${workload.kind} has not one container`);
  return container;
}

function environmentOf(workload: Workload): Record<string, string> {
  const pairs = (containerOf(workload).env ?? []).map(({ name, value }) => [name, value ?? '']);
  return Object.fromEntries(pairs) as Record<string, string>;
}

/** What is in a file that a pod has from a secret. */
function contentOf(workload: Workload, file: string): string {
  const mounts = containerOf(workload).volumeMounts ?? [];
  const mount = mounts.find(({ mountPath }) => path.dirname(file) === mountPath);
  const volumes = workload.spec?.template.spec?.volumes ?? [];
  const volume = volumes.find(({ name }) => name === mount?.name);
  const secret = manifests<ISecret>('secrets.example.yaml').find(
    ({ metadata }) => metadata?.name === volume?.secret?.secretName,
  );
  const content = secret?.stringData?.[path.basename(file)];
  if (content === undefined) throw new Error(`no secret has ${file}`);
  return content;
}
