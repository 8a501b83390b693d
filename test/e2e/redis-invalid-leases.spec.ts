import { describe, expect, it } from '@jest/globals';
import type { Redis } from 'ioredis';
import { monitorCommands } from '../support/monitor.ts';
import { untilRedisIs } from '../support/readiness.ts';
import { jobIds, metric, readJob } from '../support/reads.ts';
import { connectTo, type RedisServer } from '../support/redis.ts';
import { atEnd, startUpstream, startGateway, startRedis } from '../support/rig.ts';

/** Bounds for claims per read: those sent at once, then four a second. */
const PROMPT_CLAIMS = 5;
const CLAIMS_A_SECOND = 5;

async function rig() {
  const [upstream, redis] = [await startUpstream({ unknownJobs: 'make' }), await startRedis()];
  const eyes = connectTo({ port: redis.port });
  atEnd(async () => eyes.disconnect());
  const env = { REDIS_URL: redis.url, PATIENCE: '1s', UPSTREAM_TIMEOUT: '1s' };
  const gateway = await startGateway({ upstream, env });
  await untilRedisIs('up', gateway);
  // A real lease shows the name of its key.
  const [known, id] = jobIds(2) as [string, string];
  upstream.fault({ kind: 'hold' }, { times: 1 });
  const reading = readJob(gateway, known);
  await upstream.arrived(1);
  const [example] = (await eyes.keys(`*lease:${known}`)) as [string];
  upstream.clearFaults();
  await reading;
  return { upstream, redis, eyes, gateway, id, key: example.replace(known, id) };
}

/** Counts claims of a lease. */
async function claimsOf(redis: RedisServer, key: string): Promise<() => number> {
  let claims = 0;
  await monitorCommands(redis, (args) => {
    if (args[0] === 'eval' && args[1]?.includes('PTTL') && args[3] === key) claims++;
  });
  return () => claims;
}

/** Restores a value of a key repeatedly until the test ends. */
async function keep(eyes: Redis, key: string, value: () => string): Promise<void> {
  await eyes.set(key, value());
  const timer = setInterval(() => void eyes.set(key, value()).catch(() => undefined), 5);
  atEnd(async () => clearInterval(timer));
}

const spoilt: [string, (eyes: Redis, key: string) => Promise<unknown>][] = [
  ['a list', (eyes, key) => eyes.rpush(key, 'one', 'two')],
  ['a hash', (eyes, key) => eyes.hset(key, { holder: 'somebody' })],
  ['words of somebody else', (eyes, key) => eyes.set(key, 'locked by the batch')],
  ['a phase that there is not', (eyes, key) => eyes.set(key, `somebody ${Date.now()} running`)],
  ['no number where its time is', (eyes, key) => eyes.set(key, 'somebody soon sent')],
  ['a time that no clock tells', (eyes, key) => eyes.set(key, `somebody ${'9'.repeat(40)} sent`)],
  ['a megabyte', (eyes, key) => eyes.set(key, 'x'.repeat(2 ** 20))],
];

describe('a lease in Redis without a living holder', () => {
  it.each(spoilt)('is replaced when it is %s, at once, counted and logged once', async (_, spoil) => {
    const { upstream, eyes, gateway, id, key } = await rig();
    await spoil(eyes, key);
    const { status, tookMs } = await readJob(gateway, id);
    expect(status).toBe(200);
    // A valid lease would delay the read by 2 s.
    expect(tookMs).toBeLessThan(2000);
    expect(upstream.callsFor(id)).toHaveLength(1);
    expect(await metric(gateway, 'gateway_store_errors_total', { operation: 'lease' })).toBe(1);
    await gateway.logged(({ msg }) => msg?.includes('invalid value in Redis') === true);
    const lines = gateway.log.filter(({ msg }) => msg?.includes('invalid value in Redis'));
    expect(lines.map(({ what }) => what)).toEqual(['lease']);
  });

  it.each(['sent', 'waiting'])(
    'and without an expiry is waited for like any other in the phase "%s"',
    async (phase) => {
      const { redis, eyes, gateway, id, key } = await rig();
      const claims = await claimsOf(redis, key);
      await eyes.set(key, `somebody ${Date.now()} ${phase}`);
      const { status, tookMs } = await readJob(gateway, id);
      // Its two seconds exceed the patience, which applies until a call is sent.
      expect(status).toBe(phase === 'sent' ? 200 : 429);
      expect(tookMs).toBeLessThan(8000);
      expect(claims()).toBeLessThan(PROMPT_CLAIMS + (tookMs / 1000) * CLAIMS_A_SECOND);
    },
  );

  it('is taken over when it is "sent" for longer than calls can take, and the read is answered', async () => {
    const { upstream, redis, eyes, gateway, id, key } = await rig();
    const claims = await claimsOf(redis, key);
    await keep(eyes, key, () => `somebody ${Date.now()} sent`);
    const { status, tookMs } = await readJob(gateway, id);
    expect(status).toBe(200);
    expect(upstream.callsFor(id)).toHaveLength(1);
    // The longest duration of two calls of a second each, then its own call.
    expect(tookMs).toBeGreaterThan(2500);
    expect(tookMs).toBeLessThan(15_000);
    expect(claims()).toBeLessThan(PROMPT_CLAIMS + (tookMs / 1000) * CLAIMS_A_SECOND);
    expect(await metric(gateway, 'gateway_store_errors_total', { operation: 'lease' })).toBeGreaterThan(0);
  });

  it('costs few claims when its holder and expiry change constantly', async () => {
    const { redis, eyes, gateway, id, key } = await rig();
    const claims = await claimsOf(redis, key);
    let holder = 0;
    await keep(eyes, key, () => `somebody-${holder++} ${Date.now()} waiting`);
    const messages = setInterval(() => void tellFree(eyes, id).catch(() => undefined), 5);
    atEnd(async () => clearInterval(messages));
    const { status, tookMs } = await readJob(gateway, id);
    expect(status).toBe(429);
    expect(tookMs).toBeLessThan(8000);
    expect(claims()).toBeLessThan(PROMPT_CLAIMS + (tookMs / 1000) * CLAIMS_A_SECOND);
  });
});

/** Publishes a `free` message for the job. */
async function tellFree(eyes: Redis, id: string): Promise<void> {
  const [channel] = (await eyes.call('PUBSUB', 'CHANNELS')) as [string];
  await eyes.publish(channel, `${id} {"kind":"free"}`);
}
