import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { deploy, type Deployment } from '../support/deployment.ts';
import { counts, Load, percentile } from '../support/load.ts';
import { OUTAGES } from '../support/outages.ts';
import { readiness } from '../support/readiness.ts';
import { jobIds, readJob } from '../support/reads.ts';
import { until } from '../support/until.ts';
import { mostInWindow } from '../support/windows.ts';

const LIMIT = { limit: 100, windowMs: 2000 };
const CALM_MS = 3000;

/** All parts of all replicas are well. */
async function allWell({ gateways }: Deployment): Promise<boolean> {
  const all = await Promise.all(gateways.map((gateway) => readiness(gateway)));
  return all.every(
    ({ status, parts }) => status === 200 && Object.values(parts).every((part) => part === 'up'),
  );
}

describe('under steady load', () => {
  it.each(OUTAGES)(
    '$name: no cached read fails or is slow, nothing is exceeded, and all is as before soon after',
    async ({ name, forMs, begin, end, cold, store }) => {
      const deployment = await deploy({
        limits: '100/2s',
        ...(store && { store }),
        env: { UPSTREAM_TIMEOUT: '1s', ACTIVE_FRESH: '1s' },
      });
      await deployment.upstream.set({ tokenLifetimeSeconds: 8 });
      const cachedIds = jobIds(30);
      for (const gateway of deployment.gateways) {
        await Promise.all(cachedIds.map((id) => readJob(gateway, id)));
      }
      const load = new Load(deployment, { cached: 150, cold: 55, cachedIds });
      await delay(CALM_MS);
      const beganAt = performance.now();
      await begin(deployment);
      await delay(forMs);
      await end(deployment);
      const endedAt = performance.now();
      // The circuit's own delay, and the cooldown of the token, are aside.
      await until('all is well again', () => allWell(deployment), 12_000);
      const wellAt = performance.now();
      await delay(2000);
      const recoveredAt = performance.now();
      await delay(2000);
      await load.stop();

      const cached = load.during('cached', beganAt, recoveredAt);
      const calm = percentile(load.during('cached', beganAt - CALM_MS + 500, beganAt), 99);
      const p99 = percentile(cached, 99);
      const coldMeanwhile = load.during('cold', beganAt, recoveredAt);
      const calls = await deployment.upstream.recordedCalls();
      const most = mostInWindow(calls, LIMIT.windowMs);
      process.stdout.write(
        `${name}: cached p99 ${calm.toFixed(0)} → ${p99.toFixed(0)} ms, cold ${JSON.stringify(counts(coldMeanwhile))}, ` +
          `well ${((wellAt - endedAt) / 1000).toFixed(1)} s after, most in a window ${most}/${LIMIT.limit}\n`,
      );
      expect(counts(cached)).toEqual({ 200: cached.length });
      expect(p99).toBeLessThanOrEqual(Math.max(2 * calm, 150));
      expect(Object.keys(counts(coldMeanwhile)).filter((status) => !cold.includes(Number(status)))).toEqual(
        [],
      );
      expect(await deployment.upstream.refused()).toBe(0);
      expect(most).toBeLessThanOrEqual(LIMIT.limit);
      const after = load.during('cold', recoveredAt, Infinity);
      expect(counts(after)).toEqual({ 200: after.length });
      for (const gateway of deployment.gateways) expect((await readiness(gateway)).status).toBe(200);
    },
    120_000,
  );
});
