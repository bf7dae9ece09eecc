import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { parser } from '@prometheus-io/lezer-promql';
import { expect } from 'chai';
import { decodeJwt } from 'jose';
import { z } from 'zod';
import { fromBinary, toBinary, type SessionId } from '../../src/model/ids';
import { ErrorReason } from '../../src/gen/sessionimport/v1/session_import';
import {
  SessionShareService,
  ShareSessionRequest,
} from '../../src/gen/sessionimport/v1/session_share';
import {
  ListImportsRequest,
  SessionTraceService,
} from '../../src/gen/sessionimport/v1/session_trace';
import { MetricsServer } from '../../src/metrics/http';
import { RelayMetrics } from '../../src/metrics/relay-metrics';
import { CertificateAuthority } from '../support/certificates';
import { failureOf, sessionOf, type TestClient } from '../support/client';
import { addLogs, createSession, type Tenant } from '../support/fixtures';
import { eventually } from '../support/helpers';
import { scrape } from '../support/metrics';
import { startHarness, type Harness } from '../support/service';
import { serverNames } from '../support/tls';
import { documentsOf, root, textOf } from './files';

const run = promisify(execFile);

const ruleFile = z.object({
  groups: z.array(
    z.object({
      name: z.string(),
      rules: z.array(
        z.union([
          z.strictObject({ record: z.string(), expr: z.string() }),
          z.strictObject({
            alert: z.string().startsWith('SessionImport'),
            expr: z.string(),
            for: z.string(),
            labels: z.strictObject({ severity: z.enum(['critical', 'warning', 'info']) }),
            annotations: z.strictObject({
              summary: z.string().min(1),
              description: z.string().min(1),
              runbook: z.string(),
            }),
          }),
        ]),
      ),
    }),
  ),
});

const place = z.object({ x: z.number(), y: z.number(), w: z.number(), h: z.number() });

const dashboardFile = z.object({
  uid: z.string(),
  schemaVersion: z.number().min(39),
  annotations: z.object({
    list: z.array(z.object({ name: z.string(), expr: z.string().optional() })),
  }),
  panels: z.array(
    z.object({
      id: z.number(),
      type: z.string(),
      title: z.string().min(1),
      description: z.string().min(1).optional(),
      gridPos: place,
      targets: z.array(z.object({ refId: z.string(), expr: z.string() })).default([]),
      fieldConfig: z.object({ defaults: z.object({ unit: z.string().optional() }) }).optional(),
      options: z.object({ yAxis: z.object({ unit: z.string() }).optional() }).optional(),
    }),
  ),
});

const rules = ruleFile
  .parse(documentsOf('deploy/prometheus/alerts.yaml')[0])
  .groups.flatMap((group) => group.rules);
const alerts = rules.filter((rule) => 'alert' in rule);
const recorded = rules.filter((rule) => 'record' in rule).map(({ record }) => record);

const dashboard = dashboardFile.parse(
  JSON.parse(textOf('deploy/grafana/dashboards/session-import.json')),
);
const panels = dashboard.panels.filter(({ type }) => type !== 'row');

/** What is asked of Prometheus, and where. */
const queries = [
  ...rules.map((rule) => ({ where: 'alert' in rule ? rule.alert : rule.record, expr: rule.expr })),
  ...panels.flatMap(({ title, targets }) =>
    targets.map(({ expr }) => ({ where: title, expr: inserted(expr) })),
  ),
  ...dashboard.annotations.list.flatMap(({ name, expr }) =>
    expr === undefined ? [] : [{ where: name, expr: inserted(expr) }],
  ),
];

const runbook = textOf('docs/operations.md');

describe('what watches the service', () => {
  let harness: Harness;
  let exposed: Exposed;
  let known: Known;

  before(async () => {
    harness = await startHarness();
    known = await callInManyWays(harness);
    exposed = await exposedBy(harness);
  });
  after(() => harness.stop());

  it('asks Prometheus in PromQL', () => {
    for (const { where, expr } of queries) {
      expect(mistakesIn(expr), `${where}: ${expr}`).to.deep.equal([]);
    }
  });

  it('asks for metrics and labels that the service and the relay expose', () => {
    for (const { where, expr } of queries) {
      const selectors = selectorsIn(expr);
      for (const { metric, matchers } of selectors) {
        for (const { label } of matchers)
          expect(labelsOf(metric, exposed), where).to.include(label);
      }
      const labels = selectors.flatMap(({ metric }) => labelsOf(metric, exposed));
      expect(labels, where).to.include.members(groupingLabelsIn(expr));
    }
  });

  it('asks for values of labels that the service gives them', () => {
    const reasons = Object.keys(ErrorReason).map((name) => name.replace('ERROR_REASON_', ''));
    const results = [
      'imported',
      'validated',
      'replayed',
      'CANCELLED',
      'DEADLINE_EXCEEDED',
      ...reasons,
    ];
    for (const { where, expr } of queries) {
      for (const { metric, matchers } of selectorsIn(expr)) {
        for (const { label, values } of matchers) {
          const known = label === 'result' ? results : exposed.get(metric)?.get(label);
          if (known) expect([...known], `${where}: ${label}`).to.include.members(values);
        }
      }
    }
  });

  it('shows all metrics of the service on the dashboard, and explains them in the runbook', () => {
    const shown = panels
      .flatMap(({ targets }) => targets)
      .flatMap(({ expr }) => selectorsIn(inserted(expr)))
      .map(({ metric }) => familyOf(metric));
    const explained = [...runbook.matchAll(/^\| `(\w+)` \| (\w+) \| (.*?) \| /gm)].map(
      ([, name = '', , labels = '']) => [name, labels.match(/\w+/g) ?? []] as const,
    );
    const own = new Map<string, readonly string[]>();
    for (const [metric, labels] of exposed) {
      if (!/^(session_import|grpc_server)_/.test(metric)) continue;
      own.set(
        familyOf(metric),
        [...labels.keys()].filter((label) => label !== 'le'),
      );
    }
    expect([...own.keys()].length).to.be.greaterThan(20);
    expect(shown).to.include.members([...own.keys()]);
    expect(Object.fromEntries(explained)).to.deep.equal(Object.fromEntries(own));
  });

  it('fires its alerts when it must, and not before', async function () {
    const args = ['test', 'rules', 'deploy/prometheus/alerts.test.yaml'];
    try {
      await run('promtool', args, { cwd: root });
    } catch (error) {
      const { code, stdout, stderr } = error as { code: unknown; stdout: string; stderr: string };
      if (code !== 'ENOENT') throw new Error(stdout + stderr, { cause: error });
      console.error('promtool is not installed (it comes with Prometheus): no alert is tested');
      this.skip();
    }
  });

  it('points from every alert to what the runbook says about it', () => {
    const headings = [...runbook.matchAll(/^#+ (SessionImport\w+)$/gm)].map(([, name]) => name);
    expect(headings).to.have.members(alerts.map(({ alert }) => alert));
    for (const { alert, annotations } of alerts) {
      // How GitHub and others make an anchor of a heading.
      expect(annotations.runbook).to.equal(`docs/operations.md#${alert.toLowerCase()}`);
    }
  });

  it('has rules and panels of one name each, and panels that say what they show', () => {
    const names = [...recorded, ...new Set(alerts.map(({ alert }) => alert))];
    expect(names).to.have.length(rules.length);
    expect(new Set(dashboard.panels.map(({ id }) => id)).size).to.equal(dashboard.panels.length);
    for (const { title, description, fieldConfig, options } of panels) {
      expect(description, title).to.exist;
      expect(fieldConfig?.defaults.unit ?? options?.yAxis?.unit, title).to.exist;
    }
  });

  it('has panels that do not lie on each other', () => {
    const taken = new Set<string>();
    for (const { title, gridPos } of dashboard.panels) {
      expect(gridPos.x + gridPos.w, title).to.be.at.most(24);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          expect(taken, title).not.to.include(`${x},${y}`);
          taken.add(`${x},${y}`);
        }
      }
    }
  });

  it('lets Grafana find the dashboard and Prometheus', () => {
    const { datasources } = z
      .object({ datasources: z.array(z.object({ type: z.string(), uid: z.string() })) })
      .parse(documentsOf('deploy/grafana/provisioning/datasources/prometheus.yaml')[0]);
    const { providers } = z
      .object({ providers: z.array(z.object({ options: z.object({ path: z.string() }) })) })
      .parse(documentsOf('deploy/grafana/provisioning/dashboards/session-import.yaml')[0]);
    expect(datasources).to.deep.equal([{ type: 'prometheus', uid: 'prometheus' }]);
    expect(providers).to.deep.equal([{ options: { path: '/var/lib/grafana/dashboards' } }]);
  });

  describe('in the runbook', () => {
    it('explains every reason for which a call is refused', () => {
      const explained = [...runbook.matchAll(/^\| `([A-Z_]+)` \| [`A-Z_]+ \|/gm)].map(
        ([, reason]) => `ERROR_REASON_${reason ?? ''}`,
      );
      const reasons = Object.keys(ErrorReason).filter((name) => name.startsWith('ERROR_REASON_'));
      expect(['ERROR_REASON_UNSPECIFIED', ...explained]).to.deep.equal(reasons);
    });

    it('has links that lead to what it has', () => {
      const anchors = [...runbook.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
        heading
          .toLowerCase()
          .replace(/[^\w -]/g, '')
          .replaceAll(' ', '-'),
      );
      const links = [...runbook.matchAll(/\]\(#(.*?)\)/g)].map(([, anchor = '']) => anchor);
      expect(links).not.to.be.empty;
      expect(anchors).to.include.members(links);
    });

    it('has SQL that MySQL runs, and that finds an import', async function () {
      const { db } = harness;
      const [versions] = (await db.raw('SELECT VERSION() AS version')) as [{ version: string }[]];
      // It has other functions and other system tables; the runbook is about MySQL.
      if (versions[0]?.version.includes('MariaDB')) this.skip();
      const statements = [...runbook.matchAll(/^```sql\n(.*?);\n```$/gms)].map(
        ([, sql = '']) => sql,
      );
      expect(statements).to.have.length.greaterThan(10);
      // Some of them write, and the database is everybody's.
      const trx = await db.transaction();
      try {
        for (const statement of statements) {
          const asked = statement.replace(
            /<(.+?)>/g,
            (_, what: string) => known[what] ?? `no ${what}`,
          );
          const [rows] = (await trx.raw(asked)) as [unknown[]];
          if (asked !== statement) expect(rows, asked).not.to.be.empty;
        }
      } finally {
        await trx.rollback();
      }
    });

    it('explains every field of the log line of a call', () => {
      const section = /^## Log lines$.*?(?=^## )/ms.exec(runbook)?.[0] ?? '';
      const explained = [...section.matchAll(/^\| (`.*?) \|/gm)].flatMap(
        ([, names = '']) => names.match(/\w+/g) ?? [],
      );
      const lines = harness.logLines
        .map((line) => JSON.parse(line) as Record<string, unknown>)
        .filter(({ msg }) => msg === 'call');
      expect(lines).not.to.be.empty;
      for (const line of lines) expect(explained).to.include.members(Object.keys(line));
    });
  });
});

/** For each metric, the values of each of its labels. */
type Exposed = ReadonlyMap<string, ReadonlyMap<string, ReadonlySet<string>>>;

/** What the runbook's `<…>` stand for, of one import. */
type Known = Readonly<Record<string, string>>;

/** Makes calls that end well and badly, so that there is something to expose, and to find. */
async function callInManyWays({ db, source, target, signer, client }: Harness): Promise<Known> {
  let known: Known = {};
  for (const kind of ['user', 'business'] as const) {
    const original = await createSession(db, source, kind);
    await addLogs(db, kind, original, 2);
    const request = {
      shareToken: await shareAndTakeBack(client, source, target, original),
      workflowId: target.workflows[kind],
      trustReview: kind === 'user',
    };
    const { sessionId } = sessionOf(await client.import(target.apiKey, request));
    await failureOf(client.import(target.apiKey, request));
    await failureOf(client.import('sik_of_nobody', request));
    const all = ListImportsRequest.fromPartial({});
    await client.call(SessionTraceService.listImports, target.apiKey, all);
    await client.call(SessionTraceService.getProvenance, target.apiKey, { sessionId });
    const key = await db<{ id: Buffer }>('api_keys')
      .where('application_id', toBinary(target.applicationId))
      .first('id');
    known = {
      'session id': sessionId,
      'source session id': original,
      'source application id': source.applicationId,
      'importing application id': target.applicationId,
      'API key id': key ? fromBinary(key.id) : '',
      kid: signer.privateJwk.kid ?? '',
      'share token': request.shareToken,
      'share token id': decodeJwt(request.shareToken).jti ?? '',
    };
  }
  return known;
}

/** Shares a session twice, and takes the second token back: the first one is what is returned. */
async function shareAndTakeBack(
  client: TestClient,
  { apiKey }: Tenant,
  target: Tenant,
  sessionId: SessionId,
): Promise<string> {
  const request = ShareSessionRequest.fromPartial({
    sessionId,
    forApplicationId: target.applicationId,
  });
  const { shareToken } = await client.call(SessionShareService.shareSession, apiKey, request);
  const { details } = await client.call(SessionShareService.shareSession, apiKey, request);
  await client.call(SessionShareService.revokeShareToken, apiKey, {
    target: { $case: 'shareTokenId', value: details?.shareTokenId ?? '' },
  });
  await client.call(SessionShareService.listShareTokens, apiKey, {
    sessionId,
    pageSize: 0,
    pageToken: '',
  });
  return shareToken;
}

/** What a service exposes that has made calls, one that has a certificate, and a relay. */
async function exposedBy(harness: Harness): Promise<Exposed> {
  const authority = await CertificateAuthority.create();
  const { certificate, privateKey } = await authority.issue('server', [...serverNames]);
  const encrypted = await startHarness({
    environment: { GRPC_TLS_CERT: certificate, GRPC_TLS_KEY: privateKey },
  });
  await collectGarbage(harness);
  const relay = await MetricsServer.start(
    { address: '127.0.0.1:0', option: 'the test' },
    new RelayMetrics(),
    () => true,
  );
  const metrics = new Map<string, Map<string, Set<string>>>();
  for (const port of [harness.server.metricsPort, encrypted.server.metricsPort, relay.port]) {
    for (const { name, labels } of await scrape(port)) {
      const known = metrics.get(name) ?? new Map<string, Set<string>>();
      metrics.set(name, known);
      for (const [label, value] of Object.entries(labels)) {
        known.set(label, (known.get(label) ?? new Set()).add(value));
      }
    }
  }
  relay.close();
  await encrypted.stop();
  await authority.remove();
  return metrics;
}

/** Collects garbage: its metrics appear after the first time, which may be late in a process with much memory. */
async function collectGarbage({ server }: Harness): Promise<void> {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  await eventually(async () =>
    (await scrape(server.metricsPort)).some(({ name }) => name.startsWith('nodejs_gc_duration')),
  );
}

/** The metric that a series of a histogram is of. */
function familyOf(series: string): string {
  return series.replace(/_(bucket|sum|count)$/, '');
}

/** A query as Grafana sends it, with its variables filled in. */
function inserted(expr: string): string {
  return expr.replaceAll('$__rate_interval', '1m').replaceAll('$instance', '.*');
}

/** What Prometheus adds to every metric that it reads, and to what it makes of them. */
const targetLabels = ['job', 'instance'];

/** The labels of a metric: one of the service, one that a rule records, or one of Prometheus' own. */
function labelsOf(metric: string, exposed: Exposed): readonly string[] {
  if (metric === 'up' || recorded.includes(metric)) return targetLabels;
  if (metric === 'ALERTS') return ['alertname', 'alertstate', 'severity'];
  const labels = exposed.get(metric);
  if (!labels) throw new Error(`the service exposes no ${metric}`);
  return [...targetLabels, ...labels.keys()];
}

/** Where a text is not PromQL. */
function mistakesIn(expr: string): string[] {
  const mistakes: string[] = [];
  parser.parse(expr).iterate({
    enter: ({ type, from, to }) => {
      if (type.isError) mistakes.push(`at ${from}: ${expr.slice(from, to)}`);
    },
  });
  return mistakes;
}

/** A metric that is asked for, and what its labels must be. */
interface Selector {
  readonly metric: string;
  readonly matchers: readonly { readonly label: string; readonly values: readonly string[] }[];
}

function selectorsIn(expr: string): Selector[] {
  const selectors: Selector[] = [];
  parser.parse(expr).iterate({
    enter: ({ name, node }) => {
      if (name !== 'VectorSelector') return;
      const text = (part: typeof node | null) => (part ? expr.slice(part.from, part.to) : '');
      const matchers = node.getChild('LabelMatchers')?.getChildren('UnquotedLabelMatcher') ?? [];
      selectors.push({
        metric: text(node.getChild('Identifier')),
        matchers: matchers.map((matcher) => ({
          label: text(matcher.getChild('LabelName')),
          // Regular expressions here are lists of values, or match anything.
          values: text(matcher.getChild('StringLiteral')).slice(1, -1).split('|'),
        })),
      });
    },
  });
  return selectors;
}

/** What is named in `by`, `without`, `on`, `ignoring` and `group_left`. */
function groupingLabelsIn(expr: string): string[] {
  const labels: string[] = [];
  parser.parse(expr).iterate({
    enter: ({ name, node }) => {
      if (name !== 'GroupingLabels') return;
      labels.push(...node.getChildren('LabelName').map(({ from, to }) => expr.slice(from, to)));
    },
  });
  return labels;
}
