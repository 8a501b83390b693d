import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { IServiceMonitor } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor';
import type { IDeployment } from 'kubernetes-models/apps/v1/Deployment';
import type { IStatefulSet } from 'kubernetes-models/apps/v1/StatefulSet';
import type { IHorizontalPodAutoscaler } from 'kubernetes-models/autoscaling/v2/HorizontalPodAutoscaler';
import type { IIngress } from 'kubernetes-models/networking.k8s.io/v1/Ingress';
import type { INetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy';
import type { IPodDisruptionBudget } from 'kubernetes-models/policy/v1/PodDisruptionBudget';
import type { IConfigMap } from 'kubernetes-models/v1/ConfigMap';
import type { INamespace } from 'kubernetes-models/v1/Namespace';
import type { ISecret } from 'kubernetes-models/v1/Secret';
import type { IService } from 'kubernetes-models/v1/Service';
import { readCallersFile } from '../../src/callers/callers-file.ts';
import { loadSettings, type Settings } from '../../src/config/settings.ts';
import { fromFiles, variables } from '../../src/config/variables.ts';
import { type Manifest, renderProduction } from '../support/manifests.ts';
import { jobIds, metric, readJob } from '../support/reads.ts';
import { untilRedisIs } from '../support/readiness.ts';
import { connectTo } from '../support/redis.ts';
import { until } from '../support/until.ts';
import { atEnd, startUpstream, startGateway, startRedis } from '../support/rig.ts';

const ROOT = join(import.meta.dirname, '../..');
const TSC = join(ROOT, 'node_modules/typescript/bin/tsc');
const GATEWAY = 'itwin-jobs-gateway';
const REDIS = 'itwin-jobs-redis';
/** The routes for callers, and those for the platform (docs/CONTRACT.md, section 1). */
const PUBLIC = [
  '/contextcapture/jobs/1',
  '/contextcapture/jobs/events',
  '/console',
  '/console/events',
  '/docs',
  '/openapi.json',
];
const INTERNAL = ['/metrics', '/health/live', '/health/ready'];

const folder = mkdtempSync(join(tmpdir(), 'manifests-'));
let manifests: Manifest[];
let deployment: IDeployment;
let redis: IStatefulSet;

beforeAll(() => {
  mkdirSync(join(folder, 'config'));
  manifests = renderProduction(join(folder, 'config'));
  deployment = the('Deployment', GATEWAY);
  redis = the('StatefulSet', REDIS);
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

interface Kinds {
  ConfigMap: IConfigMap;
  Deployment: IDeployment;
  HorizontalPodAutoscaler: IHorizontalPodAutoscaler;
  Ingress: IIngress;
  Namespace: INamespace;
  NetworkPolicy: INetworkPolicy;
  PodDisruptionBudget: IPodDisruptionBudget;
  Secret: ISecret;
  Service: IService;
  ServiceMonitor: IServiceMonitor;
  StatefulSet: IStatefulSet;
}

function all<Kind extends keyof Kinds>(kind: Kind): Kinds[Kind][] {
  return manifests.filter((manifest) => manifest.kind === kind) as unknown[] as Kinds[Kind][];
}

/** What kustomize ends the name of a generated object with. */
const DIGEST = /-[a-z0-9]{10}$/;

/** The object of that name, with or without the digest of its content. */
function the<Kind extends keyof Kinds>(kind: Kind, name: string): Kinds[Kind] {
  const bare = (text: string): string => text.replace(DIGEST, '');
  const found = all(kind).filter(({ metadata }) => bare(metadata!.name!) === bare(name));
  expect([kind, name, found.length]).toEqual([kind, name, 1]);
  return found[0]!;
}

type PodSpec = NonNullable<NonNullable<IDeployment['spec']>['template']['spec']>;
type Labels = Readonly<Record<string, string>> | undefined;
const podOf = (workload: IDeployment | IStatefulSet): PodSpec => workload.spec!.template.spec!;
const labelsOf = (workload: IDeployment | IStatefulSet): Labels => workload.spec!.template.metadata!.labels;
const selects = (labels: Labels, selector: { matchLabels?: Labels } | undefined): boolean =>
  Object.keys(selector?.matchLabels ?? {}).length > 0 &&
  Object.entries(selector!.matchLabels!).every(([name, value]) => labels?.[name] === value);

/** What the gateway's container is given as its environment. */
function environment(): Record<string, string> {
  const { env, envFrom } = podOf(deployment).containers[0]!;
  expect(env).toBeUndefined();
  return Object.assign(
    {},
    ...envFrom!.map(({ configMapRef }) => the('ConfigMap', configMapRef!.name!).data),
  ) as Record<string, string>;
}

const decode = (base64: string | undefined): string => Buffer.from(base64 ?? '', 'base64').toString();

/** The settings as the gateway would read them: what is mounted from Secrets is put where the test can read it. */
function settings(): Settings {
  const { volumes } = podOf(deployment);
  const env = environment();
  for (const [name, path] of Object.entries(env)) {
    if (!name.endsWith('_FILE')) continue;
    const mount = podOf(deployment).containers[0]!.volumeMounts!.find(({ mountPath }) =>
      path.startsWith(`${mountPath}/`),
    )!;
    const volume = volumes!.find((one) => one.name === mount.name)!;
    const { data } = the('Secret', volume.secret!.secretName!);
    const key = path.slice(mount.mountPath.length + 1);
    expect([name, Object.keys(data!)]).toEqual([name, expect.arrayContaining([key])]);
    env[name] = join(folder, name);
    writeFileSync(env[name], decode(data![key]));
  }
  return loadSettings(env);
}

describe('the manifests', () => {
  it('match the schemas of Kubernetes and the Prometheus operator', async () => {
    const imports: string[] = [];
    const objects: string[] = [];
    for (const [index, manifest] of manifests.entries()) {
      const { apiVersion, kind } = manifest;
      const from = apiVersion.startsWith('monitoring.')
        ? '@kubernetes-models/prometheus-operator'
        : 'kubernetes-models';
      const model = `${from}/${apiVersion}/${kind}`;
      const Model = ((await import(model)) as Record<string, new (data: object) => { validate(): void }>)[
        kind
      ]!;
      new Model(manifest).validate();
      imports.push(`import type { I${kind} as T${index} } from '${model}';`);
      objects.push(`export const o${index}: T${index} = ${JSON.stringify(manifest, null, 1)};`);
    }
    // What validates may have fields that nobody knows: a literal of the type may not.
    writeFileSync(join(folder, 'manifests.ts'), [...imports, ...objects].join('\n'));
    writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
    const compilerOptions = { noEmit: true, strict: true, skipLibCheck: true, module: 'nodenext', types: [] };
    writeFileSync(
      join(folder, 'tsconfig.json'),
      JSON.stringify({ compilerOptions, files: ['manifests.ts'] }),
    );
    symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
    const tsc = spawnSync(process.execPath, [TSC, '-p', folder], { encoding: 'utf8' });
    expect(tsc.stdout).toBe('');
  });

  it('use settings that exist and are valid, and secrets from files', () => {
    const env = environment();
    const known = [...Object.keys(variables), ...fromFiles.map((name) => `${name}_FILE`)];
    expect(Object.keys(env).filter((name) => !known.includes(name))).toEqual([]);
    const { CALLERS_FILE, HOST, PORT, REDIS_URL } = settings();
    expect(readCallersFile(CALLERS_FILE)).toHaveLength(1);
    expect(HOST).toBe('0.0.0.0');
    expect(podOf(deployment).containers[0]!.ports![0]!.containerPort).toBe(PORT);
    expect(`${REDIS_URL?.host}:${REDIS_URL?.port}`).toBe(
      `${the('Service', REDIS).metadata!.name!}:${redis.spec!.template.spec!.containers[0]!.ports![0]!.containerPort}`,
    );
  });

  it('contain no secret outside of a Secret, and none in the repository', () => {
    const secrets = all('Secret').flatMap(({ data }) => Object.values(data ?? {}).map(decode));
    expect(secrets.length).toBeGreaterThanOrEqual(5);
    const others = JSON.stringify(manifests.filter(({ kind }) => kind !== 'Secret'));
    for (const secret of secrets) expect(others).not.toContain(JSON.stringify(secret).slice(1, -1));
    for (const { data } of all('ConfigMap')) {
      const names = Object.keys(data ?? {});
      expect(names.filter((name) => /(PASSWORD|SECRET|KEY|TOKEN)$/.test(name))).toEqual([]);
      expect(Object.values(data ?? {}).filter((value) => /:\/\/[^/@\s]*:[^/@\s]*@/.test(value))).toEqual([]);
    }
    const kept = execFileSync('git', ['ls-files', 'config/kubernetes'], { cwd: ROOT, encoding: 'utf8' });
    expect(kept.split('\n').filter((path) => path.includes('/secrets/'))).toEqual([]);
    const own = 'config/kubernetes/production/secrets/client-secret';
    expect(spawnSync('git', ['check-ignore', '-q', own], { cwd: ROOT }).status).toBe(0);
  });

  it('restrict the containers and their resources', () => {
    const root = { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } };
    for (const workload of [deployment, redis]) {
      const pod = podOf(workload);
      expect(pod).toMatchObject({ automountServiceAccountToken: false, securityContext: root });
      expect(pod.securityContext!.runAsUser).toBeGreaterThan(0);
      expect(pod.containers).toHaveLength(1);
      for (const { name, resources, securityContext, image, volumeMounts } of pod.containers) {
        expect(securityContext).toEqual({
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        });
        for (const bound of [resources!.limits, resources!.requests]) {
          expect(Object.keys(bound!).sort()).toEqual(['cpu', 'memory']);
        }
        expect(image).toMatch(/:[\w.-]*\d/);
        // One that is mounted by subPath never changes.
        for (const mount of volumeMounts!) expect([name, mount.subPath]).toEqual([name, undefined]);
      }
    }
    const namespace = the('Namespace', 'itwin-jobs');
    expect(namespace.metadata?.labels).toMatchObject({ 'pod-security.kubernetes.io/enforce': 'restricted' });
    for (const { kind, metadata } of manifests.filter((one) => one.kind !== 'Namespace')) {
      expect([kind, metadata.namespace]).toEqual([kind, 'itwin-jobs']);
    }
  });

  it('keep the names of reloaded files, so that a rotated secret needs no rollout', () => {
    const mounted = podOf(deployment).volumes!.map(({ secret }) => secret!.secretName!);
    expect(mounted.filter((name) => DIGEST.test(name))).toEqual([expect.stringMatching(/^gateway-redis-/)]);
    const [{ configMapRef } = {}] = podOf(deployment).containers[0]!.envFrom!;
    expect(configMapRef!.name).toMatch(/^gateway-settings-[a-z0-9]{10}$/);
  });

  it('allow enough time for the drain, and split the limits by the maximum of replicas', () => {
    const { DRAIN_DELAY, PATIENCE, UPSTREAM_TIMEOUT, REPLICAS } = settings();
    const graceMs = podOf(deployment).terminationGracePeriodSeconds! * 1000;
    expect(graceMs).toBeGreaterThan(DRAIN_DELAY + PATIENCE + 4 * UPSTREAM_TIMEOUT);
    const { spec } = the('HorizontalPodAutoscaler', GATEWAY);
    expect(REPLICAS).toBe(spec.maxReplicas);
    expect(spec.scaleTargetRef).toEqual({ apiVersion: 'apps/v1', kind: 'Deployment', name: GATEWAY });
    // Either would make more, or fewer, than the autoscaler says.
    expect(deployment.spec).toMatchObject({ strategy: { rollingUpdate: { maxSurge: 0 } } });
    expect(deployment.spec!.replicas).toBeUndefined();
    const budget = the('PodDisruptionBudget', GATEWAY).spec!;
    expect(budget.maxUnavailable).toBeLessThan(spec.minReplicas!);
    expect(selects(labelsOf(deployment), budget.selector)).toBe(true);
    const spread = podOf(deployment).topologySpreadConstraints!;
    expect(spread.map(({ topologyKey }) => topologyKey)).toContain('kubernetes.io/hostname');
    for (const { labelSelector } of spread) expect(selects(labelsOf(deployment), labelSelector)).toBe(true);
  });

  it('expose only the public routes, all of which exist', async () => {
    const ingress = the('Ingress', GATEWAY);
    const rules = ingress.spec!.rules!;
    expect(rules.map(({ host }) => host)).toEqual(ingress.spec!.tls![0]!.hosts);
    const paths = rules.flatMap(({ http }) => http!.paths);
    const shows = (route: string): boolean =>
      paths.some(({ path = '/', pathType }) =>
        pathType === 'Exact'
          ? route === path
          : route === path ||
            `${route}/`.startsWith(`${path}/`) ||
            route.startsWith(`${path.replace(/\/$/, '')}/`),
      );
    expect(PUBLIC.filter((route) => !shows(route))).toEqual([]);
    expect([...INTERNAL, '/', '/health', '/any'].filter(shows)).toEqual([]);
    for (const { backend } of paths) {
      const service = the('Service', backend.service!.name);
      expect(service.spec!.ports!.map(({ name }) => name)).toContain(backend.service!.port!.name);
      expect(selects(labelsOf(deployment), { matchLabels: service.spec!.selector as Labels })).toBe(true);
    }
    const { livenessProbe, readinessProbe, startupProbe } = podOf(deployment).containers[0]!;
    const probes = [livenessProbe, readinessProbe, startupProbe].map((probe) => probe!.httpGet!);
    const monitor = the('ServiceMonitor', GATEWAY).spec.endpoints[0]!;
    const gateway = await startGateway({ upstream: await startUpstream() });
    for (const { path } of [...probes, monitor]) {
      expect(INTERNAL).toContain(path);
      expect((await fetch(`${gateway.url}${path!}`)).status).toBe(200);
    }
    expect(livenessProbe!.httpGet!.path).toBe('/health/live');
    expect(readinessProbe!.httpGet!.path).toBe('/health/ready');
    const ports = podOf(deployment).containers[0]!.ports!.map(({ name }) => name);
    for (const { port } of [...probes, monitor]) expect(ports).toContain(port);
  });

  it('make the ingress wait for the longest read, and not buffer events', () => {
    const annotations = the('Ingress', GATEWAY).metadata!.annotations!;
    const { PATIENCE, UPSTREAM_TIMEOUT } = settings();
    const timeouts = Object.entries(annotations).filter(([name]) => name.includes('timeout'));
    expect(timeouts.length).toBeGreaterThanOrEqual(5);
    for (const [, value] of timeouts) {
      expect(parseInt(value, 10) * 1000).toBeGreaterThan(PATIENCE + 4 * UPSTREAM_TIMEOUT);
    }
    expect(annotations).toMatchObject({
      'nginx.ingress.kubernetes.io/proxy-buffering': 'off',
      'nginx.org/proxy-buffering': 'False',
    });
  });

  it('allow traffic only from ingress and Prometheus, and to DNS, Redis and HTTPS', () => {
    const policies = all('NetworkPolicy');
    const policyOf = (workload: IDeployment | IStatefulSet) => {
      const [policy, ...more] = policies.filter(({ spec }) => selects(labelsOf(workload), spec!.podSelector));
      expect(more).toEqual([]);
      expect(policy!.spec!.policyTypes).toEqual(['Ingress', 'Egress']);
      return policy!.spec!;
    };
    const { ingress, egress } = policyOf(deployment);
    const from = ingress!.flatMap((rule) => rule.from!);
    expect(from.map(({ namespaceSelector }) => Object.values(namespaceSelector!.matchLabels!))).toEqual([
      ['ingress-nginx'],
      ['monitoring'],
    ]);
    expect(selects(labelsOf(deployment), from[1]!.podSelector)).toBe(false);
    const reached = egress!.map(({ ports }) => ports!.map(({ port }) => port));
    expect(reached).toEqual([[53, 53], [6379], [443]]);
    expect(selects(labelsOf(redis), egress![1]!.to![0]!.podSelector)).toBe(true);
    expect(egress![2]!.to!.map(({ ipBlock }) => ipBlock!.except!.length > 0)).toEqual([true, true]);
    const inner = policyOf(redis);
    expect(inner.egress).toEqual([]);
    expect(inner.ingress!.flatMap((rule) => rule.from!)).toHaveLength(1);
    expect(selects(labelsOf(deployment), inner.ingress![0]!.from![0]!.podSelector)).toBe(true);
  });
});

describe('the Redis of the manifests', () => {
  it("admits only the gateway's user, and evicts copies but never the budget", async () => {
    const files = join(folder, 'redis');
    mkdirSync(files, { recursive: true });
    const acl = decode(the('Secret', 'redis-users').data!['users.acl']);
    const conf = the('ConfigMap', 'redis-settings').data!['redis.conf']!;
    writeFileSync(join(files, 'users.acl'), acl);
    writeFileSync(
      join(files, 'redis.conf'),
      conf.replace('/run/secrets/redis', files).replace(/^dir .*/m, `dir ${files}`),
    );
    const server = await startRedis((port) => [
      join(files, 'redis.conf'),
      ...['--port', String(port), '--bind', '127.0.0.1', '--maxmemory', '6mb'],
    ]);
    const [command = '', ...args] = podOf(redis).containers[0]!.livenessProbe!.exec!.command!;
    const probe = spawnSync(command, ['-p', String(server.port), ...args], { encoding: 'utf8' });
    expect([probe.status, probe.stdout]).toEqual([0, expect.stringContaining('NOAUTH')]);

    const { REDIS_USERNAME, REDIS_PASSWORD } = settings();
    const upstream = await startUpstream({ unknownJobs: 'make' });
    const login = { REDIS_URL: server.url, REDIS_USERNAME, REDIS_PASSWORD };
    const env = { ...login, UPSTREAM_LIMITS: '10000/1h', ACTIVE_FRESH: '1s' };
    const gateway = await startGateway({ upstream, env });
    await untilRedisIs('up', gateway);
    const eyes = connectTo({ port: server.port, username: REDIS_USERNAME, password: REDIS_PASSWORD });
    atEnd(async () => eyes.disconnect());
    // Its user may not list all keys at once.
    const keysOf = async (match: string): Promise<string[]> => {
      const found = new Set<string>();
      const pages = eyes.scanStream({ match, count: 1000 }) as AsyncIterable<string[]>;
      for await (const keys of pages) for (const key of keys) found.add(key);
      return [...found].sort();
    };
    const budget = (): Promise<string[]> => keysOf('itwin-jobs:*budget*');
    await expect(eyes.flushall()).rejects.toThrow('NOPERM');
    expect((await readJob(gateway, jobIds(1)[0]!)).status).toBe(200);
    const before = await budget();
    expect(before.length).toBeGreaterThanOrEqual(3);
    const log = 'x'.repeat(200_000);
    for (let round = 0; round < 60; round++) {
      const body = JSON.stringify({ job: { id: '$id', state: 'success', log: `${round}${log}` } });
      const { id } = upstream.addJob({ body });
      expect((await readJob(gateway, id)).status).toBe(200);
    }
    const evicted = Number(/evicted_keys:(\d+)/.exec(await eyes.info('stats'))?.[1]);
    expect(evicted).toBeGreaterThan(20);
    expect(await budget()).toEqual(before);
    // A command may be late on a busy machine; what the user may not do, or what finds no room, fails each time.
    await until('a read fails at nothing', async () => {
      const before = await metric(gateway, 'gateway_store_errors_total');
      expect((await readJob(gateway, upstream.addJob({ state: 'success' }).id)).status).toBe(200);
      const isShared = (await metric(gateway, 'gateway_budget_mode', { mode: 'shared' })) === 1;
      return isShared && (await metric(gateway, 'gateway_store_errors_total')) === before;
    });
    // Every key has a lifetime: there is none that this policy could not evict.
    for (const key of await keysOf('itwin-jobs:*')) expect(await eyes.pttl(key)).not.toBe(-1);
  });
});
