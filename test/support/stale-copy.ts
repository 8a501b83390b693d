import { setTimeout as delay } from 'node:timers/promises';
import { expect } from '@jest/globals';
import type { FakeUpstream } from '../fake-upstream/fake-upstream.ts';
import { cacheStatus } from './cache-status.ts';
import type { Gateway } from './gateway.ts';
import { readJob, type Seen } from './reads.ts';
import { startUpstream, startGateway } from './rig.ts';
import { until } from './until.ts';

export async function rig(env: Readonly<Record<string, string>> = {}) {
  const upstream = await startUpstream();
  return { upstream, gateway: await startGateway({ upstream, env }) };
}

/** Copies are fresh briefly; a refresh is awaited for long enough on a busy machine, or too long for the test. */
export const SOON_STALE = {
  ACTIVE_FRESH: '200ms',
  REFRESH_WAIT: '60s',
  PATIENCE: '60s',
  UPSTREAM_TIMEOUT: '60s',
};
/** Bound for an immediate answer, in milliseconds, far below what waiting would take. */
export const AT_ONCE_MS = 30_000;

/** Creates a stale copy of a running job. */
export async function staleCopy({
  upstream,
  gateway,
}: {
  upstream: FakeUpstream;
  gateway: Gateway;
}): Promise<string> {
  const { id } = upstream.addJob({ state: 'active' });
  await until('it is read', async () => (await readJob(gateway, id)).status === 200);
  await delay(250);
  upstream.clear();
  return id;
}

export async function withStaleCopy(env: Readonly<Record<string, string>> = {}) {
  const both = await rig({ ...SOON_STALE, ...env });
  return { ...both, id: await staleCopy(both) };
}

export const states = ({ body }: Seen): string =>
  (JSON.parse(body.toString()) as { job: { state: string } }).job.state;

/** Expects 200 with this state, served from a stale copy. */
export function expectStale(seen: Seen, detail: 'stale' | 'stale-if-error'): void {
  expect(seen.status).toBe(200);
  expect(states(seen)).toBe('active');
  expect(cacheStatus(seen)).toMatchObject({ detail: `token:${detail}` });
  expect(Number(cacheStatus(seen)['ttl'])).toBeLessThan(0);
  expect(seen.headers['cache-control']).toBe(`private, max-age=${String(seen.headers['age'])}`);
}
