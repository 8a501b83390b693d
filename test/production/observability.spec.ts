import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { FakeUpstream } from '../fake-upstream/fake-upstream.ts';
import { Gateway } from '../support/gateway.ts';
import { freePort } from '../support/ports.ts';
import { parseQuery, type Selector } from '../support/promql.ts';
import { jobIds, readJob } from '../support/reads.ts';

const ROOT = join(import.meta.dirname, '../..');
const file = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly for: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string };
}

interface Panel {
  readonly id: number;
  readonly title: string;
  readonly type: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
}

const { spec } = parse(file('config/prometheus/alerts.yaml')) as {
  spec: { groups: readonly { rules: readonly Rule[] }[] };
};
const rules = spec.groups.flatMap((group) => group.rules);
const { panels } = JSON.parse(file('config/grafana/dashboard.json')) as { panels: readonly Panel[] };
const targets = panels.flatMap(({ title, targets: own = [] }) => own.map((target) => ({ title, ...target })));

/** Grafana puts a duration in its place. */
const asGrafanaSends = (expr: string): string => expr.replaceAll('$__rate_interval', '5m');
const queries: [where: string, expr: string][] = [
  ...rules.map(({ alert, expr }): [string, string] => [alert, expr]),
  ...targets.map(({ title, expr }): [string, string] => [`panel "${title}"`, asGrafanaSends(expr)]),
];

/** What Prometheus itself knows of whom it scrapes. */
const TARGET_LABELS = ['job', 'instance', 'namespace', 'pod', 'container', 'service'];

/** Ends of calls and outcomes that take more to bring about than this test does: others see them come. */
const FROM_THE_SOURCE = ['timeout', 'connection', 'redis', 'collapsed'];

type Labels = Readonly<Record<string, string>>;
/**
 * The samples that gateways have served, by the name of their metric; a metric without one has been announced all the
 * same.
 */
const served = new Map<string, Labels[]>([['up', [{}]]]);

/**
 * A gateway that has met all that is looked for: every outcome, every end of a call, a token that is refused, a Redis
 * that is away.
 */
beforeAll(async () => {
  const upstream = await FakeUpstream.start({ unknownJobs: 'make' });
  const env = { ACTIVE_FRESH: '0ms', REFRESH_WAIT: '50ms', PATIENCE: '30s' };
  const [good, poor] = await Promise.all([
    Gateway.start({ upstream, env }),
    Gateway.start({
      upstream,
      env: {
        ITWIN_CLIENT_SECRET: 'wrong',
        REDIS_URL: `redis://127.0.0.1:${await freePort()}`,
        REPLICAS: '2',
      },
    }),
  ]);
  try {
    const [finished, fresh] = jobIds(2) as [string, string];
    const { id: running } = upstream.addJob({ script: [{ state: 'active' }] });
    const statuses: number[] = [];
    const read = async (id: string) => statuses.push((await readJob(good, id)).status);
    for (const id of [finished, finished, running]) await read(id);
    upstream.fault({ kind: 'status', status: 503 }, { times: 2 });
    await read(running);
    upstream.fault({ kind: 'hold' }, { times: 1 });
    await read(running);
    upstream.clearFaults();
    upstream.fault({ kind: 'too-many', retryAfter: '60' }, { times: 1 });
    await read(fresh);
    expect(statuses).toEqual([200, 200, 200, 200, 200, 429]);
    expect((await readJob(poor, jobIds(1)[0]!)).status).toBe(502);
    for (const { url } of [good, poor]) take(await (await fetch(`${url}/metrics`)).text());
  } finally {
    await Promise.all([good.stop(), poor.stop()]);
    await upstream.stop();
  }
});

afterAll(() => {
  served.clear();
});

function take(exposition: string): void {
  for (const line of exposition.split('\n')) {
    const [, announced, type] = /^# TYPE (\S+) (\S+)/.exec(line) ?? [];
    if (announced !== undefined) {
      const parts = type === 'histogram' ? ['_bucket', '_sum', '_count'] : [''];
      for (const part of parts) if (!served.has(announced + part)) served.set(announced + part, []);
    }
    const [, name, labels = ''] = /^(\w+)(?:\{(.*)\})? \S+$/.exec(line) ?? [];
    if (name === undefined) continue;
    const pairs = [...labels.matchAll(/(\w+)="([^"]*)"/g)].map(([, label, value]) => [label!, value!]);
    served.get(name)!.push(Object.fromEntries(pairs) as Labels);
  }
}

/** Whether a sample is what a matcher asks for; only the labels that the gateway gives are looked at. */
function agrees(sample: Labels, { label, operator, value }: Selector['matchers'][number]): boolean {
  const own = sample[label] ?? '';
  const equal = operator.endsWith('~') ? new RegExp(`^(?:${value})$`).test(own) : own === value;
  return operator.startsWith('!') ? !equal : equal;
}

describe('the queries of the alerts and of the dashboard', () => {
  it.each(queries)('name what /metrics serves: %s', (_, expr) => {
    const { selectors, groupings } = parseQuery(expr);
    expect(selectors.length).toBeGreaterThan(0);
    for (const { metric, matchers } of selectors) {
      expect([...served.keys()]).toContain(metric);
      const own = matchers.filter(({ label }) => !TARGET_LABELS.includes(label));
      // What asks for a label or for a value that never comes never tells of anything.
      for (const matcher of own) {
        expect([metric, matcher.label, Object.keys(served.get(metric)![0] ?? {})]).toEqual([
          metric,
          matcher.label,
          expect.arrayContaining([matcher.label]),
        ]);
      }
      const seen = served.get(metric)!.some((sample) => own.every((matcher) => agrees(sample, matcher)));
      expect([metric, own, seen]).toEqual([metric, own, true]);
    }
    for (const { labels, metrics } of groupings) {
      for (const metric of metrics) expectLabels(labels, metric);
    }
  });

  it('have only alternatives that exist', () => {
    for (const [where, expr] of queries) {
      for (const { metric, matchers } of parseQuery(expr).selectors) {
        for (const { label, value } of matchers.filter(({ operator }) => operator === '=~')) {
          const missing = value
            .split('|')
            .filter((one) => !FROM_THE_SOURCE.includes(one))
            .filter(
              (one) =>
                !served.get(metric)!.some((sample) => new RegExp(`^(?:${one})$`).test(sample[label] ?? '')),
            );
          expect([where, missing]).toEqual([where, []]);
        }
      }
    }
  });

  it('use only existing labels in legends', () => {
    for (const { title, expr, legendFormat } of targets) {
      const { selectors, groupings } = parseQuery(asGrafanaSends(expr));
      const known = [
        ...(groupings.length > 0 ? groupings.flatMap(({ labels }) => labels) : TARGET_LABELS),
        ...(groupings.length > 0 ? [] : selectors.flatMap(({ metric }) => labelsOf(metric))),
      ];
      const named = [...legendFormat.matchAll(/\{\{\s*(\w+)\s*\}\}/g)].map(([, label]) => label!);
      expect([title, named.filter((label) => !known.includes(label))]).toEqual([title, []]);
    }
  });
});

const labelsOf = (metric: string): string[] => [...new Set(served.get(metric)!.flatMap(Object.keys))];

function expectLabels(labels: readonly string[], metric: string): void {
  const known = [...TARGET_LABELS, ...labelsOf(metric)];
  expect([metric, labels.filter((label) => !known.includes(label))]).toEqual([metric, []]);
}

describe('the alerts', () => {
  it('have distinct names, a delay, and an explanation in the runbook', () => {
    expect(new Set(rules.map(({ alert }) => alert)).size).toBe(rules.length);
    const operations = file('docs/OPERATIONS.md');
    for (const { alert, for: patience, labels, annotations } of rules) {
      expect(patience).toMatch(/^\d+m$/);
      expect(['critical', 'warning']).toContain(labels.severity);
      expect(annotations.summary).toMatch(/\w/);
      expect([alert, operations.includes(`| \`${alert}\` |`)]).toEqual([alert, true]);
    }
  });

  it('contain the limit of the queue', () => {
    const { QUEUE_LIMIT } = parseEnv(file('config/kubernetes/base/settings.env'));
    const { expr } = rules.find(({ alert }) => alert === 'GatewayQueueFilling')!;
    expect(expr).toBe(`max(gateway_queue_depth) > ${0.8 * Number(QUEUE_LIMIT)}`);
  });

  it('use only labels that their query keeps', () => {
    for (const { alert, expr, annotations } of rules) {
      const { selectors, groupings } = parseQuery(expr);
      const known = groupings.length > 0 ? groupings.flatMap(({ labels }) => labels) : TARGET_LABELS;
      const named = [...annotations.summary.matchAll(/\$labels\.(\w+)/g)].map(([, label]) => label!);
      expect([alert, selectors.length > 0]).toEqual([alert, true]);
      expect([alert, named.filter((label) => !known.includes(label))]).toEqual([alert, []]);
    }
  });
});

describe('the dashboard', () => {
  it('shows every metric of the gateway, without overlapping panels', () => {
    const shown = new Set(
      targets.flatMap(({ expr }) => parseQuery(asGrafanaSends(expr)).selectors.map(({ metric }) => metric)),
    );
    const own = [...served.keys()].filter((name) => /^gateway_/.test(name) && !/_(sum|count)$/.test(name));
    expect(own.filter((name) => !shown.has(name))).toEqual([]);
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    for (const [index, { gridPos: a }] of panels.entries()) {
      for (const { gridPos: b } of panels.slice(index + 1)) {
        expect(a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h).toBe(false);
      }
    }
  });
});
