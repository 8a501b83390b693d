import { describe, expect, it } from '@jest/globals';
import { errorOf, jobIds, metric, readJob, type Seen } from '../support/reads.ts';
import { shareRig } from '../support/shared-rig.ts';
import { until } from '../support/until.ts';

const rig = shareRig({ unknownJobs: 'make' }, () => ({ env: { PATIENCE: '30s' } }));
const readNew = (): Promise<Seen> => readJob(rig.gateway, jobIds(1)[0]!);
const statuses = (seen: readonly Seen[]): number[] => seen.map(({ status }) => status);

/** A gateway with a proven token; recorded calls are reset. */
async function settled(): Promise<void> {
  const { upstream } = rig;
  upstream.set({ latencyMs: 0, tokenLagMs: 0 });
  await until('a read succeeds', async () => (await readNew()).status === 200, 30_000);
  const since = performance.now();
  await until('the token is not new any more', () => performance.now() > since + 1000);
  upstream.clear();
}

describe('a token that upstream no longer accepts', () => {
  it('costs ten simultaneous reads one new token and at most one more call each', async () => {
    await settled();
    const { upstream, gateway } = rig;
    upstream.set({ latencyMs: 100 });
    upstream.revokeTokens();
    const seen = await Promise.all(jobIds(10).map((id) => readJob(gateway, id)));
    expect(statuses(seen)).toEqual(Array(10).fill(200));
    expect(upstream.tokenRequests).toHaveLength(1);
    expect(upstream.calls.filter(({ status }) => status === 200)).toHaveLength(10);
    // Fewer calls meet the refused token when they are sent one after another.
    expect(upstream.count).toBeLessThanOrEqual(20);
  });

  it('costs at most one call per slot when many more reads wait', async () => {
    await settled();
    const { upstream, gateway } = rig;
    upstream.revokeTokens();
    const seen = await Promise.all(jobIds(100).map((id) => readJob(gateway, id)));
    expect(statuses(seen)).toEqual(Array(100).fill(200));
    expect(upstream.tokenRequests).toHaveLength(1);
    expect(upstream.count).toBeLessThanOrEqual(110);
  });

  it('costs a single read one new token and one more call', async () => {
    await settled();
    const { upstream } = rig;
    upstream.revokeTokens();
    expect((await readNew()).status).toBe(200);
    expect([upstream.count, upstream.tokenRequests.length]).toEqual([2, 1]);
  });
});

describe('a 401 of upstream', () => {
  it.each(['unauthorized', 'unauthorized-unwrapped'] as const)(
    'causes one new token and one retry when it is %s once',
    async (kind) => {
      await settled();
      const { upstream } = rig;
      upstream.fault({ kind }, { times: 1 });
      expect((await readNew()).status).toBe(200);
      expect(upstream.count).toBe(2);
      expect(upstream.tokenRequests.length).toBeLessThanOrEqual(1);
    },
  );

  it('is not retried and costs no token with UnknownClient', async () => {
    await settled();
    const { upstream } = rig;
    upstream.fault({ kind: 'unknown-client' }, { times: 1 });
    const seen = await readNew();
    expect([seen.status, errorOf(seen).code]).toEqual([502, 'UpstreamAuthenticationFailed']);
    expect(seen.headers['www-authenticate']).toBeUndefined();
    expect([upstream.count, upstream.tokenRequests.length]).toEqual([1, 0]);
    expect((await readNew()).status).toBe(200);
    expect(upstream.tokenRequests).toHaveLength(0);
  });

  it('for one job with a token that is accepted for others is a 502 for that job only', async () => {
    await settled();
    const { upstream, gateway } = rig;
    const [bad = ''] = jobIds(1);
    upstream.fault({ kind: 'unauthorized' }, { jobId: bad });
    const others: Seen[] = [];
    let isJudged = false;
    void readJob(gateway, bad).then(() => (isJudged = true));
    await until('it is judged', async () => {
      others.push(await readNew());
      return isJudged;
    });
    for (let round = 0; round < 30; round++) {
      const [seen, other] = await Promise.all([readJob(gateway, bad), readNew()]);
      expect([seen.status, errorOf(seen).code]).toEqual([502, 'UpstreamAuthenticationFailed']);
      others.push(other);
    }
    expect(new Set(statuses(others))).toEqual(new Set([200]));
    expect(upstream.tokenRequests.length).toBeLessThanOrEqual(1);
    // After its first two reads, with pauses of 1, 2, 4 … seconds.
    const callsBefore = upstream.callsFor(bad).length;
    await Promise.all(Array.from({ length: 10 }, () => readJob(gateway, bad)));
    expect(upstream.callsFor(bad).length).toBeLessThanOrEqual(callsBefore + 1);
  });
});

describe('a token that is not known to upstream yet', () => {
  it.each([50, 200, 1000])('for %i ms fails no read, and is not replaced', async (tokenLagMs) => {
    await settled();
    const { upstream, gateway } = rig;
    upstream.set({ tokenLagMs });
    upstream.revokeTokens();
    const seen = await Promise.all(jobIds(30).map((id) => readJob(gateway, id)));
    expect(statuses(seen)).toEqual(Array(30).fill(200));
    expect(upstream.tokenRequests).toHaveLength(1);
  });
});

describe('secrets', () => {
  it("do not leak through upstream's error bodies, metrics or health", async () => {
    await settled();
    const { upstream, gateway } = rig;
    await readNew();
    const secrets = [upstream.calls[0]!.token, upstream.settings.clientSecret, gateway.callers[0]!.key];
    const [token] = secrets;
    for (const status of [400, 403, 404, 409, 422, 429, 500]) {
      const body = { error: { code: 'Quoting', message: `Bearer ${token}`, target: token, details: [] } };
      upstream.fault({ kind: 'status', status, body, headers: { 'x-echo': token! } }, { times: 1 });
      const seen = await readJob(gateway, jobIds(1)[0]!);
      const told = JSON.stringify(seen.headers) + seen.body.toString();
      expect([status, secrets.some((secret) => told.includes(secret))]).toEqual([status, false]);
    }
    for (const path of ['/metrics', '/health/ready', '/health/live', '/nowhere']) {
      const told = await (await fetch(`${gateway.url}${path}`)).text();
      expect([path, secrets.some((secret) => told.includes(secret))]).toEqual([path, false]);
    }
  });
});

describe('invalid credentials', () => {
  it('cost one call and at most one token per pause, fail reads at once, are logged once, and recover', async () => {
    await settled();
    const { upstream, gateway } = rig;
    upstream.fault({ kind: 'unauthorized' });
    const first = await Promise.all(jobIds(20).map((id) => readJob(gateway, id)));
    expect(new Set(statuses(first))).toEqual(new Set([502]));
    const line = await gateway.logged(({ msg }) => msg === 'upstream refuses every token');
    expect(line['level']).toBe(50);
    upstream.clear();
    const refused = await Promise.all(jobIds(100).map((id) => readJob(gateway, id)));
    expect(new Set(refused.map((seen) => `${seen.status} ${errorOf(seen).code}`))).toEqual(
      new Set(['502 UpstreamAuthenticationFailed']),
    );
    expect(upstream.count).toBeLessThanOrEqual(1);
    expect(upstream.tokenRequests.length).toBeLessThanOrEqual(1);
    upstream.clearFaults();
    await until('it recovers', async () => (await readNew()).status === 200, 40_000);
    await gateway.logged(({ msg }) => msg === 'upstream accepts a token again');
    expect(gateway.log.filter(({ msg }) => msg === 'upstream refuses every token')).toHaveLength(1);
    expect(await metric(gateway, 'gateway_token_refreshes_total', { result: 'ok' })).toBeGreaterThan(1);
  });
});
