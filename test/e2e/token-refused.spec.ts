import { describe, expect, it, jest } from '@jest/globals';
import { errorOf, jobIds, readJob, type Seen } from '../support/reads.ts';
import { shareRig } from '../support/shared-rig.ts';
import { until } from '../support/until.ts';

jest.setTimeout(30_000);

const rig = shareRig({ unknownJobs: 'make' });
const readNew = (): Promise<Seen> => readJob(rig.gateway, jobIds(1)[0]!);

/** A token that upstream takes is at hand, and nothing is counted yet. */
async function settled(): Promise<void> {
  rig.double.set({ latencyMs: 0 });
  await until('a read succeeds', async () => (await readNew()).status === 200);
  rig.double.clear();
}

describe('a 401 of upstream', () => {
  it('costs one new token and one more call each, for ten reads of ten jobs that meet it together', async () => {
    await settled();
    const { double, gateway } = rig;
    double.set({ latencyMs: 100 });
    double.fault({ kind: 'unauthorized' }, { times: 10 });
    const seen = await Promise.all(jobIds(10).map((id) => readJob(gateway, id)));
    expect(seen.map(({ status }) => status)).toEqual(seen.map(() => 200));
    expect(double.tokenRequests).toHaveLength(1);
    expect(double.calls.map(({ status }) => status).toSorted()).toEqual([
      ...Array.from({ length: 10 }, () => 200),
      ...Array.from({ length: 10 }, () => 401),
    ]);
  });

  it('costs no more than one call for each slot when many more reads wait', async () => {
    await settled();
    const { double, gateway } = rig;
    double.revokeTokens();
    const seen = await Promise.all(jobIds(100).map((id) => readJob(gateway, id)));
    expect(seen.map(({ status }) => status)).toEqual(seen.map(() => 200));
    expect(double.tokenRequests).toHaveLength(1);
    expect(double.count).toBeLessThanOrEqual(110);
  });

  it.each(['unauthorized', 'unauthorized-unwrapped'] as const)(
    'is answered by one new token and one replay when it is %s once',
    async (kind) => {
      await settled();
      const { double } = rig;
      double.fault({ kind }, { times: 1 });
      expect((await readNew()).status).toBe(200);
      expect([double.count, double.tokenRequests.length]).toEqual([2, 1]);
    },
  );

  it('is replayed once, then answered 502', async () => {
    await settled();
    const { double } = rig;
    double.fault({ kind: 'unauthorized' }, { times: 2 });
    const seen = await readNew();
    expect([seen.status, errorOf(seen).code]).toEqual([502, 'UpstreamAuthenticationFailed']);
    expect([double.count, double.tokenRequests.length]).toEqual([2, 1]);
    expect(seen.headers['www-authenticate']).toBeUndefined();
  });

  it('is never replayed, nor costs a token, when it says UnknownClient', async () => {
    await settled();
    const { double } = rig;
    double.fault({ kind: 'unknown-client' }, { times: 1 });
    const seen = await readNew();
    expect([seen.status, errorOf(seen).code]).toEqual([502, 'UpstreamAuthenticationFailed']);
    expect([double.count, double.tokenRequests.length]).toEqual([1, 0]);
    expect((await readNew()).status).toBe(200);
    expect(double.tokenRequests).toHaveLength(0);
  });

  it('to each token, however many reads come: few tokens are asked for, few calls made; it recovers by itself', async () => {
    await settled();
    const { double, gateway } = rig;
    double.fault({ kind: 'unauthorized' });
    const seen: Seen[] = [];
    const since = performance.now();
    await until('it has gone on for a while', async () => {
      seen.push(...(await Promise.all(jobIds(20).map((id) => readJob(gateway, id)))));
      return performance.now() > since + 2500;
    });
    expect(seen.length).toBeGreaterThan(100);
    const told = new Set(seen.map((answer) => `${answer.status} ${errorOf(answer).code}`));
    expect([...told]).toEqual(['502 UpstreamAuthenticationFailed']);
    expect(double.tokenRequests.length).toBeLessThanOrEqual(4);
    expect(double.count).toBeLessThanOrEqual(50);
    double.clearFaults();
    await until('it recovers', async () => (await readNew()).status === 200, 9000);
  });

  it('is not taken for one in a row after an answer that shows that the token was good, whatever it was', async () => {
    await settled();
    const { double } = rig;
    double.fault({ kind: 'status', status: 403 });
    for (const times of [1, 2, 3]) {
      double.revokeTokens();
      expect([times, (await readNew()).status]).toEqual([times, 403]);
    }
    expect([double.count, double.tokenRequests.length]).toEqual([6, 3]);
  });
});

describe('what nobody is told', () => {
  it('is a token or a secret: not by error bodies that upstream fills with them, not by metrics or health', async () => {
    await settled();
    const { double, gateway } = rig;
    await readNew();
    const secrets = [double.calls[0]!.token, double.settings.clientSecret, gateway.callers[0]!.key];
    const [token] = secrets;
    for (const status of [400, 403, 404, 409, 422, 429, 500]) {
      const body = { error: { code: 'Quoting', message: `Bearer ${token}`, target: token, details: [] } };
      double.fault({ kind: 'status', status, body, headers: { 'x-echo': token! } }, { times: 1 });
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

describe('refused tokens', () => {
  it('cools down for longer each time it goes on', async () => {
    await settled();
    const { double } = rig;
    double.fault({ kind: 'unauthorized' });
    await until(
      'three more tokens were of no use',
      async () => {
        await readNew();
        return double.tokenRequests.length >= 3;
      },
      9000,
    );
    const [first, second, third] = double.tokenRequests.map(({ at }) => at);
    expect(third! - second!).toBeGreaterThan(1.5 * (second! - first!));
  });
});
