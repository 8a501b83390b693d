import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, expect, it } from '@jest/globals';
import type { Gateway } from '../support/gateway.ts';
import { errorOf, jobIds, readJob } from '../support/reads.ts';
import { untilRedisIs } from '../support/readiness.ts';
import { atEnd, startUpstream, startGateway, startRedis, temporaryFolder } from '../support/rig.ts';
import { connectTo, type RedisServer } from '../support/redis.ts';
import { monitorCommands } from '../support/monitor.ts';
import { until } from '../support/until.ts';

const FORGET = join(import.meta.dirname, '../../dist/store/forget.js');

/** Two gateways with one Redis, and the command in their environment. */
async function rig() {
  const upstream = await startUpstream({ unknownJobs: 'make' });
  const redis = await startRedis();
  const admin = connectTo({ port: redis.port });
  atEnd(async () => admin.disconnect());
  const env = { REDIS_URL: redis.url };
  const gateways = await Promise.all([startGateway({ upstream, env }), startGateway({ upstream, env })]);
  await Promise.all(gateways.map((gateway) => untilRedisIs('up', gateway)));
  const { clientId: ITWIN_CLIENT_ID, clientSecret: ITWIN_CLIENT_SECRET } = upstream.settings;
  const common = { ITWIN_API_URL: upstream.url, ITWIN_CLIENT_ID, ITWIN_CLIENT_SECRET, AUTH: 'off' };
  const forget = (args: readonly string[], own: Record<string, string> = {}): ChildProcess =>
    spawn(process.execPath, [FORGET, ...args], {
      cwd: temporaryFolder(),
      env: { ...common, ...env, HOST: '127.0.0.1', ...own },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  return { upstream, redis, admin, gateways, forget };
}

async function ended(command: ChildProcess) {
  const [out, error, [status]] = await Promise.all([
    text(command.stdout!),
    text(command.stderr!),
    once(command, 'exit') as Promise<[number]>,
  ]);
  return { status, out, error };
}

/** Reads a job from a gateway without an upstream call. */
async function kept(gateway: Gateway, jobId: string): Promise<number> {
  const seen = await readJob(gateway, jobId, { headers: { 'cache-control': 'only-if-cached' } });
  if (seen.status === 504) expect(errorOf(seen).code).toBe('NotCached');
  return seen.status;
}

describe('forgetting a job', () => {
  it('removes only that job, from the store and the memory of every replica', async () => {
    const { admin, gateways, forget, upstream } = await rig();
    const [id, other] = jobIds(2) as [string, string];
    for (const gateway of gateways) for (const job of [id, other]) await readJob(gateway, job);
    expect(upstream.count).toBe(2);
    const done = await ended(forget([id.toUpperCase()]));
    expect(done).toMatchObject({ status: 0, error: '' });
    expect(done.out).toContain('2 listening replicas');
    expect(await admin.keys(`*${id}*`)).toEqual([]);
    const seen = gateways.map(async (gateway) => [await kept(gateway, id), await kept(gateway, other)]);
    expect(await Promise.all(seen)).toEqual([
      [504, 200],
      [504, 200],
    ]);
    // A new read gets upstream's current answer.
    expect((await readJob(gateways[0], id)).status).toBe(200);
    expect(upstream.count).toBe(3);
  });

  it('waits for a read in progress, and removes its result', async () => {
    const { upstream, redis, gateways, forget } = await rig();
    const id = jobIds(1)[0]!;
    upstream.fault({ kind: 'hold' });
    const reads = gateways.map((gateway) => readJob(gateway, id));
    await upstream.arrived(1);
    const looks = await looksAt(redis, `lease:${id}`);
    const done = ended(forget([id]));
    await until('it has looked several times whether the read has ended', () => looks.length > 3);
    upstream.clearFaults();
    expect((await Promise.all(reads)).map(({ status }) => status)).toEqual([200, 200]);
    expect((await done).status).toBe(0);
    expect(await Promise.all(gateways.map((gateway) => kept(gateway, id)))).toEqual([504, 504]);
    expect(upstream.count).toBe(1);
  });

  it('reports errors: no id, no store, an unavailable store', async () => {
    const { redis, forget } = await rig();
    const id = jobIds(1)[0]!;
    const wrong = [[], ['*'], [id, id]].map((args) => ended(forget(args)));
    for (const { status, error } of await Promise.all(wrong)) {
      expect([status, error]).toEqual([64, expect.stringContaining('usage')]);
    }
    expect(await ended(forget([id], { REDIS_URL: '' }))).toMatchObject({
      status: 78,
      error: expect.stringContaining('No shared store'),
    });
    expect(await ended(forget([id], { PORT: 'x' }))).toMatchObject({
      status: 78,
      error: expect.stringContaining('PORT'),
    });
    await redis.kill();
    expect(await ended(forget([id]))).toMatchObject({
      status: 69,
      error: expect.stringContaining('Redis does not answer'),
    });
  });
});

/** Records EXISTS commands. */
async function looksAt(redis: RedisServer, key: string): Promise<readonly string[]> {
  const looks: string[] = [];
  await monitorCommands(redis, ([name = '', at = '']) => {
    if (name === 'exists' && at.endsWith(key)) looks.push(name);
  });
  return looks;
}
