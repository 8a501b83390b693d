import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { deploy, type Deployment } from '../support/deployment.ts';
import type { Gateway } from '../support/gateway.ts';
import { readiness, untilRedisIs } from '../support/readiness.ts';
import { jobIds, metric } from '../support/reads.ts';
import { until } from '../support/until.ts';
import { Watcher } from '../support/watcher.ts';

const POLL_MS = 2000;
/** One poll interval and a second: within it every watcher is told of a change. */
const TOLD_WITHIN_MS = POLL_MS + 1000;
const RESIDENT = 'process_resident_memory_bytes';
const MOST_GROWTH_BYTES = 24 * 2 ** 20;
const MB = 2 ** 20;
/** As a small container would have it: without a bound, what is resident shows how seldom V8 collects. */
const SMALL_HEAP = '--max-old-space-size=64 --max-semi-space-size=4';

/** Two replicas, and a job that runs. */
async function rig(env: Readonly<Record<string, string>> = {}) {
  const deployment = await deploy({ each: [{}, {}], env: { ACTIVE_FRESH: `${POLL_MS}ms`, ...env } });
  const id = await deployment.upstream.addJob({ state: 'active' });
  return { ...deployment, id, callers: deployment.gateways[0]!.callers };
}

/** So many watchers at each replica, all of whom have been told once. */
async function watch(
  { gateways }: Pick<Deployment, 'gateways'>,
  id: string,
  each: number,
): Promise<Watcher[]> {
  const caller = gateways[0]!.callers[0]!;
  const opened = gateways.flatMap((gateway) =>
    Array.from({ length: each }, () => Watcher.open(gateway, id, { caller })),
  );
  const watchers = await Promise.all(opened);
  await Promise.all(watchers.map((watcher) => watcher.event(1)));
  return watchers;
}

/** Puts the job into a state. @returns how long it took until the nth event has told each watcher, longest last */
async function change(
  { upstream }: Pick<Deployment, 'upstream'>,
  id: string,
  state: string,
  watchers: readonly Watcher[],
  count: number,
): Promise<number[]> {
  const since = performance.now();
  await upstream.setState(id, state);
  const told = await Promise.all(
    watchers.map(async (watcher) => {
      expect(await watcher.state(count)).toBe(state);
      return watcher.events[count - 1]!.at - since;
    }),
  );
  return told.toSorted((a, b) => a - b);
}

async function expectEnded(watchers: readonly Watcher[], events: readonly string[]): Promise<void> {
  await Promise.all(watchers.map((watcher) => watcher.closed()));
  for (const watcher of watchers) expect(watcher.events.map(({ event }) => event)).toEqual(events);
}

describe('event streams on two replicas', () => {
  it('a thousand of one job share one poll, and all get a change in time, then the end', async () => {
    const deployment = await rig();
    const { upstream, gateways, id } = deployment;
    const watchers = await watch(deployment, id, 500);
    for (const gateway of gateways) expect(await metric(gateway, 'gateway_watchers')).toBe(500);
    await delay(10 * POLL_MS);
    const calls = await upstream.recordedCalls();
    const [first, last] = [calls[0]!.at, calls.at(-1)!.at];
    const gaps = calls.slice(1).map(({ at }, index) => at - calls[index]!.at);
    const told = await change(deployment, id, 'almost', watchers, 2);
    const ended = await change(deployment, id, 'success', watchers, 3);
    await expectEnded(watchers, ['job', 'job', 'job', 'end']);
    process.stdout.write(
      `1,000 watchers: ${calls.length} calls in ${((last - first) / 1000).toFixed(1)} s, one every ${Math.min(...gaps).toFixed(0)} to ` +
        `${Math.max(...gaps).toFixed(0)} ms; told after ${told[0]!.toFixed(0)} to ${told.at(-1)!.toFixed(0)} ms and ` +
        `${ended[0]!.toFixed(0)} to ${ended.at(-1)!.toFixed(0)} ms\n`,
    );
    expect(Math.min(...gaps)).toBeGreaterThan(POLL_MS - 50);
    expect(Math.max(...gaps)).toBeLessThan(POLL_MS + 500);
    expect(told.at(-1)).toBeLessThan(TOLD_WITHIN_MS);
    expect(ended.at(-1)).toBeLessThan(TOLD_WITHIN_MS);
    for (const gateway of gateways) expect(await metric(gateway, 'gateway_watchers')).toBe(0);
  }, 90_000);

  it('reconnect to the other replica when one is killed, and get the change there', async () => {
    const deployment = await rig();
    const { gateways, id, callers } = deployment;
    const [killed, other] = gateways as [Gateway, Gateway];
    const watchers = await watch(deployment, id, 200);
    killed.signal('SIGKILL');
    const orphans = watchers.slice(0, 200);
    const returned = await Promise.all(
      orphans.map(async (watcher) => {
        await watcher.closed();
        const again = await Watcher.open(other, id, { caller: callers[0]! });
        expect(await again.state(1)).toBe('active');
        return again;
      }),
    );
    // The lease of the dead one, should it have been polling, ends first.
    const told = await change(deployment, id, 'success', [...watchers.slice(200), ...returned], 2);
    process.stdout.write(`one killed: told after ${told[0]!.toFixed(0)} to ${told.at(-1)!.toFixed(0)} ms\n`);
    expect(told.at(-1)).toBeLessThan(TOLD_WITHIN_MS);
    await expectEnded([...watchers.slice(200), ...returned], ['job', 'job', 'end']);
    expect(orphans.every(({ events }) => events.length === 1)).toBe(true);
  }, 60_000);

  it('get changes while Redis is unavailable, and share one poll again later', async () => {
    const deployment = await rig();
    const { upstream, redis, gateways, id } = deployment;
    const watchers = await watch(deployment, id, 100);
    await redis.kill();
    const away = await change(deployment, id, 'without Redis', watchers, 2);
    await redis.start();
    await Promise.all(gateways.map((gateway) => untilRedisIs('up', gateway)));
    const back = await change(deployment, id, 'with Redis', watchers, 3);
    await delay(POLL_MS);
    const before = (await upstream.recordedCalls()).length;
    await delay(5 * POLL_MS);
    const polls = (await upstream.recordedCalls()).length - before;
    const end = await change(deployment, id, 'success', watchers, 4);
    process.stdout.write(
      `Redis killed: told within ${away.at(-1)!.toFixed(0)} ms, back ${back.at(-1)!.toFixed(0)} ms, end ${end.at(-1)!.toFixed(0)} ms; ` +
        `then ${polls} polls in 5 intervals\n`,
    );
    for (const told of [away, back, end]) expect(told.at(-1)).toBeLessThan(TOLD_WITHIN_MS);
    expect(polls).toBeGreaterThanOrEqual(4);
    expect(polls).toBeLessThanOrEqual(6);
    await expectEnded(watchers, ['job', 'job', 'job', 'job', 'end']);
    for (const gateway of gateways) expect((await readiness(gateway)).status).toBe(200);
  }, 60_000);
});

describe('ten thousand event streams', () => {
  it('open and close, and leave no resources', async () => {
    const WAVE = 500;
    const deployment = await deploy({
      each: [{}],
      env: { ACTIVE_FRESH: '1s', MEMORY_CACHE_SIZE: '4mb', NODE_OPTIONS: SMALL_HEAP },
    });
    const [gateway] = deployment.gateways as [Gateway];
    const id = await deployment.upstream.addJob({ state: 'active' });
    /** Every other one watches a job of its own as well: one that is found finished. */
    const wave = async (): Promise<void> => {
      const ids = jobIds(WAVE / 2);
      const watchers = await Promise.all(
        Array.from({ length: WAVE }, (_, one) => Watcher.open(gateway, [id, ...ids.slice(one, one + 1)])),
      );
      await Promise.all(watchers.map((watcher) => watcher.event(1)));
      expect(await metric(gateway, 'gateway_watchers')).toBe(WAVE);
      for (const watcher of watchers) watcher.leave();
      await until('all have gone', async () => (await metric(gateway, 'gateway_watchers')) === 0);
    };
    const waves = async (count: number): Promise<void> => {
      for (let turn = 0; turn < count; turn++) await wave();
    };
    /** The least of some looks: what a collection that is due would leave. */
    const resident = async (): Promise<number> => {
      const looks: number[] = [];
      for (let look = 0; look < 10; look++) {
        looks.push(await metric(gateway, RESIDENT));
        await delay(200);
      }
      return Math.min(...looks);
    };
    await waves(6);
    const before = await resident();
    await waves(10_000 / WAVE);
    const after = await resident();
    const growth = after - before;
    process.stdout.write(
      `10,000 watchers: ${(before / MB).toFixed(0)} → ${(after / MB).toFixed(0)} MB resident\n`,
    );
    expect(growth).toBeLessThan(MOST_GROWTH_BYTES);
    // Nobody watches: nothing is polled.
    await delay(1500);
    const calls = (await deployment.upstream.recordedCalls()).length;
    await delay(3000);
    expect(await deployment.upstream.recordedCalls()).toHaveLength(calls);
  }, 180_000);
});

describe('under a tight quota', () => {
  it('twenty jobs with streams are polled in turns, as often as it allows, without errors', async () => {
    const ROUND_MS = 20_000;
    const deployment = await deploy({ each: [{}, {}], limits: '10/10s', env: { PATIENCE: '10s' } });
    const { upstream, gateways } = deployment;
    const ids = await Promise.all(Array.from({ length: 20 }, () => upstream.addJob({ state: 'active' })));
    const caller = gateways[0]!.callers[0]!;
    const watchers = await Promise.all(gateways.map((gateway) => Watcher.open(gateway, ids, { caller })));
    const since = performance.now();
    await delay(2 * ROUND_MS);
    for (const watcher of watchers) await watcher.event(ids.length);
    await delay(2 * ROUND_MS);
    const calls = await upstream.recordedCalls();
    const seconds = (performance.now() - since) / 1000;
    const from = calls[0]!.at;
    const polls = ids.map((id) => calls.filter(({ jobId }) => jobId === id).map(({ at }) => at - from));
    const firsts = polls.map(([first]) => first!);
    // The longest that any job has gone without a poll, once all have been read.
    const longest = polls.map((times) => Math.max(...times.slice(1).map((at, index) => at - times[index]!)));
    const counts = polls.map(({ length }) => length);
    process.stdout.write(
      `20 jobs under 10/10s: ${calls.length} calls in ${seconds.toFixed(0)} s, ${Math.min(...counts)} to ${Math.max(...counts)} a job, ` +
        `all seen after ${(Math.max(...firsts) / 1000).toFixed(1)} s, longest between two ${(Math.min(...longest) / 1000).toFixed(1)} to ` +
        `${(Math.max(...longest) / 1000).toFixed(1)} s\n`,
    );
    expect(watchers.flatMap(({ events }) => events.map(({ event }) => event))).toEqual(
      Array.from({ length: 2 * ids.length }, () => 'job'),
    );
    expect(await upstream.refused()).toBe(0);
    expect(Math.max(...firsts)).toBeLessThan(2 * ROUND_MS);
    expect(Math.max(...longest)).toBeLessThan(2 * ROUND_MS);
    for (const watcher of watchers) watcher.leave();
  }, 120_000);
});
