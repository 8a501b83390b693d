import { describe, expect, it } from '@jest/globals';
import { FakeUpstreamProcess } from '../support/fake-upstream-process.ts';
import { jobIds, readJob } from '../support/reads.ts';
import { atEnd, startGateway } from '../support/rig.ts';
import { usedAfterFirstWindow } from '../support/windows.ts';

const SECOND = { limit: 60, windowMs: 1000 };
const TWO_SECONDS = { limit: 100, windowMs: 2000 };
const TEN_SECONDS = { limit: 300, windowMs: 10_000 };

describe.each(['fixed', 'sliding'])('under %s windows upstream', (kind) => {
  it.each([
    { jobs: 600, limits: '60/1s', windows: [SECOND], binding: SECOND },
    { jobs: 900, limits: '100/2s,300/10s', windows: [TWO_SECONDS, TEN_SECONDS], binding: TEN_SECONDS },
  ])(
    'reads $jobs cold jobs under $limits without a 429 or a failed read, and uses 95 % of it',
    async ({ jobs, limits, windows, binding }) => {
      const env = {
        FAKE_UPSTREAM_LIMITS: limits,
        FAKE_UPSTREAM_WINDOW_KIND: kind,
        FAKE_UPSTREAM_UNKNOWN_JOBS: 'make',
      };
      const upstream = await FakeUpstreamProcess.start(env, { latencyMs: [5, 25] });
      atEnd(() => upstream.stop());
      const settings = { UPSTREAM_LIMITS: limits, PATIENCE: '5m', QUEUE_LIMIT: '2000' };
      const gateway = await startGateway({ upstream, env: settings });
      const seen = await Promise.all(jobIds(jobs).map((id) => readJob(gateway, id)));
      const calls = await upstream.recordedCalls();
      expect(seen.filter(({ status }) => status !== 200)).toHaveLength(0);
      expect(await upstream.refused()).toBe(0);
      expect(calls).toHaveLength(jobs);
      for (const { limit, windowMs } of windows) {
        expect(await upstream.mostInWindow(windowMs)).toBeLessThanOrEqual(limit);
      }
      const share = usedAfterFirstWindow(calls, binding);
      process.stdout.write(`${limits}, ${kind}: ${(share * 100).toFixed(1)} % of the binding limit used\n`);
      expect(share).toBeGreaterThanOrEqual(0.95);
    },
    120_000,
  );
});
