import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { deploy, type Deployment, reader } from '../support/deployment.ts';
import type { RecordedCall } from '../support/fake-upstream-process.ts';
import { jobIds, metric, type Seen } from '../support/reads.ts';

const SECONDS = 60;
const HEALTHY_A_SECOND = 10;

interface Outcome {
  readonly healthy: readonly number[];
  readonly poison: readonly number[];
  /** Calls for the poison job, seconds after the start. */
  readonly calls: readonly number[];
}

/** Polls one job each second for a minute, by so many dashboards, beside reads of new jobs at an even pace. */
async function poll(
  deployment: Deployment,
  bad: string,
  dashboards = 1,
  healthyEveryMs = 1000 / HEALTHY_A_SECOND,
): Promise<Outcome> {
  const read = reader(deployment);
  const [healthy, poison]: [Promise<Seen>[], Promise<Seen>[]] = [[], []];
  const since = performance.now();
  const pace = async (everyMs: number, offsetMs: number, begin: () => void): Promise<void> => {
    for (let next = offsetMs; next < SECONDS * 1000; next += everyMs) {
      await delay(Math.max(0, since + next - performance.now()));
      begin();
    }
  };
  const polls = Array.from({ length: dashboards }, () =>
    pace(1000, Math.random() * 1000, () => poison.push(read(bad))),
  );
  await Promise.all([pace(healthyEveryMs, 0, () => healthy.push(read(jobIds(1)[0]!))), ...polls]);
  const statuses = async (reads: Promise<Seen>[]) => (await Promise.all(reads)).map(({ status }) => status);
  const told = await deployment.upstream.recordedCalls();
  const start = told[0]?.at ?? 0;
  const ofBad = ({ jobId }: RecordedCall): boolean => jobId === bad;
  return {
    healthy: await statuses(healthy),
    poison: await statuses(poison),
    calls: told.filter(ofBad).map(({ at }) => (at - start) / 1000),
  };
}

async function tokensOf({ gateways }: Deployment): Promise<number> {
  const counts = gateways.map((gateway) => metric(gateway, 'gateway_token_refreshes_total'));
  return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
}

function say(what: string, { healthy, poison, calls }: Outcome, tokens: number): void {
  const failed = healthy.filter((status) => status !== 200).length;
  const times = calls.map((at) => at.toFixed(1)).join(' ');
  process.stdout.write(
    `${what}: ${healthy.length} healthy reads, ${failed} failed; ${poison.length} of the poison job, its calls at ${times} s; ${tokens} token requests\n`,
  );
}

const env = { PATIENCE: '10s' };

describe('a job that always gets', () => {
  it.each([1, 3])(
    '401 fails no other read and costs at most two tokens, polled by %i dashboards',
    async (dashboards) => {
      const deployment = await deploy({ each: [{}], env });
      const [bad = ''] = jobIds(1);
      await deployment.upstream.fault({ kind: 'unauthorized', jobId: bad });
      const outcome = await poll(deployment, bad, dashboards);
      const tokens = await tokensOf(deployment);
      say(`401, ${dashboards} dashboards`, outcome, tokens);
      expect(outcome.healthy.filter((status) => status !== 200)).toEqual([]);
      expect(new Set(outcome.poison)).toEqual(new Set([502]));
      expect(tokens).toBeLessThanOrEqual(2);
      // One in thirty seconds or fewer at the end.
      expect(outcome.calls.filter((at) => at > SECONDS - 30).length).toBeLessThanOrEqual(1);
    },
    120_000,
  );

  it.each([
    ['500', { kind: 'status', status: 500 }],
    ['a reset', { kind: 'reset' }],
    ['half an answer', { kind: 'cut-off' }],
    ['503 with Retry-After', { kind: 'status', status: 503, headers: { 'retry-after': '5' } }],
  ])(
    '%s fails no other read, however rare those are, and is called ever less often',
    async (name, fault) => {
      for (const healthyEveryMs of [15_000, 1000 / HEALTHY_A_SECOND]) {
        const deployment = await deploy({ each: [{}], env });
        const [bad = ''] = jobIds(1);
        await deployment.upstream.fault({ ...fault, jobId: bad });
        const outcome = await poll(deployment, bad, 1, healthyEveryMs);
        say(`${name}, healthy every ${healthyEveryMs} ms`, outcome, await tokensOf(deployment));
        expect(outcome.healthy.filter((status) => status !== 200)).toEqual([]);
        expect(new Set(outcome.poison)).toEqual(new Set([502]));
        expect(outcome.calls.filter((at) => at > SECONDS - 30).length).toBeLessThanOrEqual(1);
      }
    },
    240_000,
  );

  it('500 is called hardly more often by two replicas than by one', async () => {
    const deployment = await deploy({ each: [{}, {}], env });
    const [bad = ''] = jobIds(1);
    await deployment.upstream.fault({ kind: 'status', status: 500, jobId: bad });
    const outcome = await poll(deployment, bad);
    say('500, two replicas', outcome, await tokensOf(deployment));
    expect(outcome.healthy.filter((status) => status !== 200)).toEqual([]);
    expect(outcome.calls.length).toBeLessThanOrEqual(12);
  }, 120_000);
});
