import { expect } from '@jest/globals';
import type { FakeUpstream } from '../fake-upstream/fake-upstream.ts';
import type { Gateway } from './gateway.ts';
import { untilRedisIs } from './readiness.ts';
import { readJob } from './reads.ts';
import { RedisCluster } from './redis-cluster.ts';
import { startUpstream, startGateway } from './rig.ts';
import { until } from './until.ts';

/** Reads a new job. @returns its id. test/faults measures how long that takes. */
export async function readNew(upstream: FakeUpstream, gateway: Gateway): Promise<string> {
  const { id } = upstream.addJob();
  expect((await readJob(gateway, id)).status).toBe(200);
  return id;
}

/** Reads new jobs until one of them is stored. */
export async function untilStored(
  what: string,
  { upstream, gateway }: { upstream: FakeUpstream; gateway: Gateway },
  isStored: (jobId: string) => Promise<boolean>,
): Promise<void> {
  const ids: string[] = [];
  const found = async (): Promise<boolean> => {
    ids.push(await readNew(upstream, gateway));
    const stored = await Promise.all(ids.slice(-10).map(isStored));
    return stored.includes(true);
  };
  await until(what, found);
}

/** Losses and returns of the Redis connection in the log. */
export function connectionChanges({ log }: Gateway): string[] {
  return log.flatMap(({ msg }) => /Redis connection (lost|restored)/.exec(msg ?? '')?.[1] ?? []);
}

/** Waits for these log lines, which must alternate: a busy machine may lose and restore the connection more often. */
export async function untilLogged(gateway: Gateway, changes: readonly string[]): Promise<void> {
  const isLogged = (): boolean =>
    connectionChanges(gateway).length >= changes.length &&
    connectionChanges(gateway).at(-1) === changes.at(-1);
  await until(`the log says ${changes.join(', ')}`, isLogged);
  const expected = connectionChanges(gateway).map((_, index) => (index % 2 === 0 ? 'lost' : 'restored'));
  expect(connectionChanges(gateway)).toEqual(expected);
}

/** Starts a gateway with a cluster. */
export async function clusterRig() {
  const [upstream, cluster] = [await startUpstream(), await RedisCluster.start()];
  const gateway = await startGateway({ upstream, env: cluster.env });
  await untilRedisIs('up', gateway);
  return { upstream, cluster, gateway };
}
