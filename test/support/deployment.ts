import { FakeUpstreamProcess } from './fake-upstream-process.ts';
import { type Gateway, testCaller } from './gateway.ts';
import { type ReadOptions, readJob, type Seen } from './reads.ts';
import type { RedisServer } from './redis.ts';
import { untilRedisIs } from './readiness.ts';
import { atEnd, startGateway, startRedis } from './rig.ts';

/** Several gateways, one Redis and the fake upstream, each in its own process. */
export interface Deployment {
  readonly upstream: FakeUpstreamProcess;
  readonly redis: RedisServer;
  readonly gateways: readonly Gateway[];
}

/** A shared Redis, and the settings to connect to it. */
export interface Store {
  readonly redis: RedisServer;
  readonly env: Readonly<Record<string, string>>;
}

export interface DeploymentOptions {
  /** Default: one server. */
  readonly store?: () => Promise<Store>;
  /** Limits of the fake upstream, and how it counts. */
  readonly limits?: string;
  readonly windows?: 'fixed' | 'sliding';
  readonly latencyMs?: readonly [least: number, most: number];
  /** Settings of all gateways. */
  readonly env?: Readonly<Record<string, string>>;
  /** Additional settings of each gateway, which also give their number. Default: three without. */
  readonly each?: readonly Readonly<Record<string, string>>[];
}

async function oneServer(): Promise<Store> {
  const redis = await startRedis();
  return { redis, env: { REDIS_URL: redis.url } };
}

/** Starts a deployment with ample patience and queues, and waits until all gateways are connected to Redis. */
export async function deploy({
  limits = '',
  windows = 'sliding',
  latencyMs = [5, 25],
  env = {},
  each = [{}, {}, {}],
  store = oneServer,
}: DeploymentOptions = {}): Promise<Deployment> {
  const upstream = await FakeUpstreamProcess.start(
    { FAKE_UPSTREAM_LIMITS: limits, FAKE_UPSTREAM_WINDOW_KIND: windows, FAKE_UPSTREAM_UNKNOWN_JOBS: 'make' },
    { latencyMs },
  );
  atEnd(() => upstream.stop());
  const { redis, env: way } = await store();
  const callers = [testCaller('tester')];
  const common = {
    ...way,
    REPLICAS: String(each.length),
    PATIENCE: '10m',
    QUEUE_LIMIT: '5000',
    ...(limits !== '' && { UPSTREAM_LIMITS: limits }),
    ...env,
  };
  const gateways = await Promise.all(
    each.map((own) => startGateway({ upstream, callers, env: { ...common, ...own } })),
  );
  await Promise.all(gateways.map((gateway) => untilRedisIs('up', gateway)));
  return { upstream, redis, gateways };
}

/** Reads round-robin like an ingress; retries at the next replica when a connection breaks. */
export function reader({ gateways }: Pick<Deployment, 'gateways'>) {
  let turn = 0;
  return async (jobId: string, options: ReadOptions = {}): Promise<Seen> => {
    const first = turn++;
    for (let attempt = 0; ; attempt++) {
      const gateway = gateways[(first + attempt) % gateways.length]!;
      try {
        return await readJob(gateway, jobId, {
          ...options,
          caller: options.caller ?? gateways[0]!.callers[0]!,
        });
      } catch (error) {
        if (attempt + 1 === gateways.length) throw error;
      }
    }
  };
}
