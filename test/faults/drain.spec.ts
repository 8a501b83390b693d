import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from '@jest/globals';
import { deploy, reader } from '../support/deployment.ts';
import { type Gateway } from '../support/gateway.ts';
import { counts, Load } from '../support/load.ts';
import { jobIds, readJob } from '../support/reads.ts';
import { startGateway } from '../support/rig.ts';
import { readiness } from '../support/readiness.ts';
import { until } from '../support/until.ts';
import { Watcher } from '../support/watcher.ts';

/** How often an ingress looks which replicas are ready. */
const LOOK_MS = 100;

/** Sends reads to those replicas alone that were ready when it looked last, as an ingress does. */
class Ingress {
  gateways: Gateway[];
  #looking = true;
  readonly #loop: Promise<void>;

  constructor(public known: Gateway[]) {
    this.gateways = [...known];
    this.#loop = this.#look();
  }

  async stop(): Promise<void> {
    this.#looking = false;
    await this.#loop;
  }

  async #look(): Promise<void> {
    while (this.#looking) {
      const ready = await Promise.all(
        this.known.map((gateway) =>
          readiness(gateway).then(
            ({ status }) => status === 200,
            () => false,
          ),
        ),
      );
      this.gateways.splice(0, Infinity, ...this.known.filter((_, index) => ready[index]));
      await delay(LOOK_MS);
    }
  }
}

/** Follows jobs to their end over as many streams as that takes, as an EventSource does. */
async function follow(
  ingress: Ingress,
  jobIds: readonly string[],
  turn: number,
): Promise<{ streams: number; states: Set<string> }> {
  const states = new Set<string>();
  for (let streams = 1; streams < 20; streams++) {
    const gateway = ingress.gateways[turn % ingress.gateways.length]!;
    const watcher = await Watcher.open(gateway, jobIds).catch(() => undefined);
    if (watcher?.status === 200) await until('it ends', () => watcher.isClosed, 60_000);
    for (const { event, data } of watcher?.events ?? []) {
      if (event === 'job') states.add((JSON.parse(data) as { job: { state: string } }).job.state);
      if (event === 'end') return { streams, states };
    }
    await delay(watcher?.retryMs ?? 500);
  }
  throw new Error('the streams do not come to an end');
}

it('a rolling restart of three replicas under load loses no read and streams resume: readiness, SIGTERM, drain, exit 0', async () => {
  const env = { DRAIN_DELAY: '1s', ACTIVE_FRESH: '1s' };
  const deployment = await deploy({ limits: '200/2s', env });
  const { upstream, redis } = deployment;
  const ingress = new Ingress([...deployment.gateways]);
  const cachedIds = jobIds(20);
  for (const gateway of deployment.gateways) await Promise.all(cachedIds.map((id) => readJob(gateway, id)));
  const load = new Load(ingress, { cached: 150, cold: 60, cachedIds });
  const watched = await Promise.all([1, 2, 3].map(() => upstream.addJob({ state: 'active' })));
  const following = Array.from({ length: 30 }, (_, turn) => follow(ingress, watched, turn));
  await delay(1000);
  for (const old of deployment.gateways) {
    const settings = {
      REDIS_URL: redis.url,
      REPLICAS: '3',
      PATIENCE: '10m',
      UPSTREAM_LIMITS: '200/2s',
      ...env,
    };
    // As the manifest has it (no surge): the new one is started when the old one is told to end.
    old.signal('SIGTERM');
    const next = await startGateway({ upstream, callers: old.callers, env: settings });
    ingress.known.push(next);
    expect(await old.exited).toBe(0);
    ingress.known = ingress.known.filter((gateway) => gateway !== old);
    await until('the new one is sent reads', () => ingress.gateways.includes(next));
  }
  await Promise.all(watched.map((id) => upstream.setState(id, 'success')));
  const followed = await Promise.all(following);
  await load.stop();
  await ingress.stop();
  const resumed = followed.filter(({ streams }) => streams > 1).length;
  process.stdout.write(
    `rolling restart: ${JSON.stringify(counts(load.samples))}, ${resumed} of 30 streams resumed\n`,
  );
  // Each replica was restarted: every stream was closed once at the least.
  expect(resumed).toBe(30);
  expect(followed.every(({ states }) => states.has('success'))).toBe(true);
  expect(counts(load.samples)).toEqual({ 200: load.samples.length });
  expect(await upstream.refused()).toBe(0);
}, 120_000);

it('a draining replica answers all queued reads', async () => {
  const deployment = await deploy({ limits: '40/2s', env: { DRAIN_DELAY: '500ms' }, each: [{}, {}] });
  const [ending] = deployment.gateways;
  const reads = jobIds(100).map((id) => readJob(ending!, id));
  await until('they are in line', async () => (await deployment.upstream.recordedCalls()).length > 20);
  ending!.signal('SIGTERM');
  expect((await Promise.all(reads)).map(({ status }) => status)).toEqual(Array(100).fill(200));
  expect(await ending!.exited).toBe(0);
  const read = reader({ gateways: [deployment.gateways[1]!] });
  expect((await read(jobIds(1)[0]!)).status).toBe(200);
}, 60_000);
