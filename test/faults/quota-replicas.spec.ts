import { describe, expect, it } from '@jest/globals';
import { deploy, type Deployment, reader } from '../support/deployment.ts';
import { jobIds } from '../support/reads.ts';
import { mostInWindow, usedAfterFirstWindow } from '../support/windows.ts';

const LIMIT = { limit: 200, windowMs: 2000 };
const PRELOAD = `--import=${new URL('../support/shift-clock.mjs', import.meta.url).href}`;
const shifted = (ms: number) => ({ NODE_OPTIONS: PRELOAD, CLOCK_SHIFT_MS: String(ms) });

/** Reads so many cold jobs at once; `halfWay` happens when half of them are answered. */
async function readCold(deployment: Deployment, count: number, halfWay = (): void => undefined) {
  const read = reader(deployment);
  let answered = 0;
  const seen = await Promise.all(
    jobIds(count).map(async (id) => {
      const { status } = await read(id);
      if (++answered === count / 2) halfWay();
      return status;
    }),
  );
  return {
    seen,
    calls: await deployment.upstream.recordedCalls(),
    refused: await deployment.upstream.refused(),
  };
}

function expectUsedAndKept(
  { seen, calls, refused }: Awaited<ReturnType<typeof readCold>>,
  name: string,
): void {
  const used = usedAfterFirstWindow(calls, LIMIT);
  process.stdout.write(`${name}: ${(used * 100).toFixed(1)} % of 200/2s used over three replicas\n`);
  expect(seen.filter((status) => status !== 200)).toEqual([]);
  expect(refused).toBe(0);
  expect(mostInWindow(calls, LIMIT.windowMs)).toBeLessThanOrEqual(LIMIT.limit);
  expect(used).toBeGreaterThanOrEqual(0.95);
}

describe('three replicas', () => {
  it('answer 1,000 concurrent reads of one cold job with one upstream call', async () => {
    const deployment = await deploy({ latencyMs: [100, 200] });
    const read = reader(deployment);
    const [id = ''] = jobIds(1);
    const seen = await Promise.all(Array.from({ length: 1000 }, () => read(id)));
    expect(seen.every(({ status, body }) => status === 200 && body.equals(seen[0]!.body))).toBe(true);
    expect(await deployment.upstream.recordedCalls()).toHaveLength(1);
  }, 60_000);

  it('share one quota for 2,000 cold jobs: no 429, no window exceeded, 95 % used', async () => {
    const deployment = await deploy({ limits: '200/2s' });
    expectUsedAndKept(await readCold(deployment, 2000), 'undisturbed');
  }, 120_000);

  it('do so when one is killed half-way: its permits become free for the others', async () => {
    const deployment = await deploy({ limits: '200/2s' });
    const outcome = await readCold(deployment, 2000, () => deployment.gateways[2]!.signal('SIGKILL'));
    expectUsedAndKept(outcome, 'one killed');
  }, 120_000);

  it('do so with clocks that are 30 s ahead and behind', async () => {
    const deployment = await deploy({ limits: '200/2s', each: [{}, shifted(30_000), shifted(-30_000)] });
    expectUsedAndKept(await readCold(deployment, 2000), 'clocks shifted');
  }, 120_000);
});
