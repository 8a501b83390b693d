import { expect } from '@jest/globals';
import type { FakeUpstream } from '../fake-upstream/fake-upstream.ts';
import type { Gateway } from './gateway.ts';
import { untilRedisIs } from './readiness.ts';
import { readJob } from './reads.ts';
import { RedisCluster } from './redis-cluster.ts';
import { startUpstream, startGateway } from './rig.ts';
import { until } from './until.ts';

/** Reads a new job and says which. How long that takes is measured by test/faults. */
export async function readNew(upstream: FakeUpstream, gateway: Gateway): Promise<string> {
  const { id } = upstream.addJob();
  expect((await readJob(gateway, id)).status).toBe(200);
  return id;
}

/** New jobs are read until one of them is found to be stored. */
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

export function connectionChanges({ log }: Gateway): string[] {
  return log.flatMap(({ msg }) => /Redis connection (lost|restored)/.exec(msg ?? '')?.[1] ?? []);
}

/** The log says so, each once: a busy machine may have it away for a moment more often, but never twice without a return. */
export async function untilLogged(gateway: Gateway, words: readonly string[]): Promise<void> {
  const isTold = (): boolean =>
    connectionChanges(gateway).length >= words.length && connectionChanges(gateway).at(-1) === words.at(-1);
  await until(`the log says ${words.join(', ')}`, isTold);
  const expected = connectionChanges(gateway).map((_, index) => (index % 2 === 0 ? 'lost' : 'restored'));
  expect(connectionChanges(gateway)).toEqual(expected);
}

/** A gateway at a cluster. */
export async function clusterRig() {
  const [upstream, cluster] = [await startUpstream(), await RedisCluster.start()];
  const gateway = await startGateway({ upstream, env: cluster.env });
  await untilRedisIs('up', gateway);
  return { upstream, cluster, gateway };
}
