import { describe, expect, it } from '@jest/globals';
import { cacheStatus } from '../support/cache-status.ts';
import { errorOf, jobIds, readJob } from '../support/reads.ts';
import { untilRedisIs } from '../support/readiness.ts';
import { atEnd, startDouble, startGateway, startRedis } from '../support/rig.ts';
import { monitorCommands } from '../support/monitor.ts';
import { lookAt, type RedisServer } from '../support/redis.ts';
import { until } from '../support/until.ts';

type Env = Readonly<Record<string, string>>;

/** Two replicas with one Redis, and the test's own eyes on it. */
async function rig({ env = {}, one = {}, other = {} }: { env?: Env; one?: Env; other?: Env } = {}) {
  const [double, redis] = [await startDouble({ unknownJobs: 'make' }), await startRedis()];
  const eyes = lookAt({ port: redis.port });
  atEnd(async () => eyes.disconnect());
  const common = { REDIS_URL: redis.url, ...env };
  const replicas = await Promise.all([
    startGateway({ double, env: { ...common, ...one } }),
    startGateway({ double, env: { ...common, ...other } }),
  ]);
  await Promise.all(replicas.map((gateway) => untilRedisIs('up', gateway)));
  return { double, redis, eyes, one: replicas[0], other: replicas[1], id: jobIds(1)[0]! };
}

/** Counts the claims to a job's lease as they come in. */
async function claimsOf(
  redis: RedisServer,
  jobId: string,
): Promise<{ until: (count: number) => Promise<void> }> {
  let claims = 0;
  await monitorCommands(redis, (args) => {
    if (args[0] === 'eval' && args[1]?.includes('PTTL') && args[3]?.endsWith(`lease:${jobId}`)) claims++;
  });
  return { until: (count) => until(`${count} have claimed it`, () => claims >= count) };
}

describe('two replicas asked for one job at one time', () => {
  it('read it once: who comes second waits for the first, and says so', async () => {
    const { double, redis, one, other, id } = await rig();
    const claims = await claimsOf(redis, id);
    double.fault({ kind: 'hold' });
    const first = readJob(one, id);
    await double.arrived(1);
    const second = readJob(other, id);
    await claims.until(2);
    const third = readJob(other, id);
    // An answer to later requests: by then the third read is under way.
    for (let later = 0; later < 3; later++) await fetch(`${other.url}/health/live`);
    double.clearFaults();
    const seen = await Promise.all([first, second, third]);
    expect(seen.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(seen.map((answer) => cacheStatus(answer)['collapsed'] === true)).toEqual([false, true, true]);
    expect(double.count).toBe(1);
  });

  it('share what upstream says, errors included', async () => {
    const { double, one, other, id } = await rig();
    double.fault({
      kind: 'status',
      status: 422,
      body: { error: { code: 'Odd', message: 'Odd.', target: 'id' } },
    });
    double.set({ latencyMs: 500 });
    const first = readJob(one, id);
    await double.arrived(1);
    const seen = [await readJob(other, id), await first];
    expect(seen.map((answer) => [answer.status, errorOf(answer)])).toEqual([
      [422, { code: 'Odd', message: 'Odd.', target: 'id' }],
      [422, { code: 'Odd', message: 'Odd.', target: 'id' }],
    ]);
    expect(double.count).toBe(1);
  });

  it('wait for a slow one as long as it lives', async () => {
    const { double, one, other, id } = await rig();
    double.set({ latencyMs: 3500 });
    const first = readJob(one, id);
    await double.arrived(1);
    const second = await readJob(other, id);
    expect([second.status, (await first).status, double.count]).toEqual([200, 200, 1]);
  });

  it('go on without one that has died, within its lease', async () => {
    const { double, one, other, id } = await rig();
    double.fault({ kind: 'hang' }, { times: 1 });
    const first = readJob(one, id);
    await double.arrived(1);
    const second = readJob(other, id);
    one.signal('SIGKILL');
    await expect(first).rejects.toThrow();
    expect([(await second).status, double.count]).toEqual([200, 2]);
  });

  it('find the copy although no word of it came through', async () => {
    const { double, redis, eyes, one, other, id } = await rig();
    const claims = await claimsOf(redis, id);
    // Nobody may speak or listen any more: those who listen are cut off.
    await eyes.call('ACL', 'SETUSER', 'default', 'resetchannels');
    double.fault({ kind: 'hold' });
    const first = readJob(one, id);
    await double.arrived(1);
    const second = readJob(other, id);
    // It looks by itself, again and again.
    await claims.until(4);
    double.clearFaults();
    expect((await first).status).toBe(200);
    expect([(await second).status, double.count]).toEqual([200, 1]);
  });

  it('take over from one whose own callers have no patience left', async () => {
    const { double, redis, one, other, id } = await rig({
      env: { UPSTREAM_CONCURRENCY: '1' },
      one: { PATIENCE: '2s' },
    });
    const claims = await claimsOf(redis, id);
    double.fault({ kind: 'hold' }, { times: 1 });
    const busy = readJob(one, jobIds(1)[0]!);
    await double.arrived(1);
    const impatient = readJob(one, id);
    await claims.until(1);
    const patient = readJob(other, id);
    expect((await impatient).status).toBe(429);
    expect((await patient).status).toBe(200);
    expect(double.callsFor(id)).toHaveLength(1);
    double.clearFaults();
    await busy;
  });

  it('refuse those whose patience ends while the other one stands in line', async () => {
    const { double, redis, one, other, id } = await rig({
      env: { UPSTREAM_CONCURRENCY: '1' },
      other: { PATIENCE: '400ms' },
    });
    double.fault({ kind: 'hold' }, { times: 1 });
    const busy = readJob(one, jobIds(1)[0]!);
    await double.arrived(1);
    const claims = await claimsOf(redis, id);
    const patient = readJob(one, id);
    await claims.until(1);
    expect((await readJob(other, id)).status).toBe(429);
    double.clearFaults();
    expect([(await patient).status, (await busy).status]).toEqual([200, 200]);
  });

  it('do not refuse those whose patience ends when the call is under way', async () => {
    const { double, one, other, id } = await rig({ other: { PATIENCE: '400ms' } });
    double.set({ latencyMs: 1500 });
    const first = readJob(one, id);
    await double.arrived(1);
    expect((await readJob(other, id)).status).toBe(200);
    expect([(await first).status, double.count]).toEqual([200, 1]);
  });
});

describe('a job that one replica has found finished', () => {
  it('is finished at the other, whatever copy it had', async () => {
    const { double, eyes, one, other, id } = await rig({ env: { ACTIVE_FRESH: '1m' } });
    double.addJob({ id, state: 'active' });
    await readJob(other, id);
    await eyes.del(...(await eyes.keys(`*job:${id}`)));
    double.setState(id, 'success');
    const finished = double.bodyOf(id);
    expect((await readJob(one, id)).body.equals(finished)).toBe(true);
    const seen = await readJob(other, id);
    expect(seen.body.equals(finished)).toBe(true);
    expect(cacheStatus(seen)).toMatchObject({ hit: true, detail: 'token:redis' });
    expect(double.count).toBe(2);
  });

  it('is what a read is answered that was sent before its end', async () => {
    const { double, eyes, one, other, id } = await rig();
    double.addJob({ id, state: 'active' });
    double.fault({ kind: 'hold' }, { times: 1 });
    const early = readJob(other, id);
    await double.arrived(1);
    await eyes.del(...(await eyes.keys(`*lease:${id}`)));
    double.setState(id, 'success');
    const finished = double.bodyOf(id);
    expect((await readJob(one, id)).body.equals(finished)).toBe(true);
    double.clearFaults();
    expect((await early).body.equals(finished)).toBe(true);
  });
});
