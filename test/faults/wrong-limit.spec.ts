import { describe, expect, it } from '@jest/globals';
import { Consumer } from '../support/consumer.ts';
import { deploy, type Deployment, reader } from '../support/deployment.ts';
import type { RecordedCall } from '../support/fake-upstream-process.ts';
import { jobIds } from '../support/reads.ts';
import { atEnd } from '../support/rig.ts';

const WINDOW_MS = 2000;
/** What was on the wire when upstream refused, and what the others sent until they heard of it. */
const IN_FLIGHT_MS = 150;

/** When the gate was closed: the first of each run of 429s. */
function closings(calls: readonly RecordedCall[]): number[] {
  const refused = calls.filter(({ status }) => status === 429).map(({ at }) => at);
  return refused.filter((at, index) => index === 0 || at - refused[index - 1]! > IN_FLIGHT_MS);
}

async function readAll(deployment: Deployment, count: number): Promise<number[]> {
  const read = reader(deployment);
  return Promise.all(jobIds(count).map(async (id) => (await read(id)).status));
}

function expectKept(calls: readonly RecordedCall[], name: string): void {
  const closed = closings(calls);
  const from = calls[0]!.at + 3 * WINDOW_MS;
  const settled = closed.filter((at) => at >= from);
  const windows = Math.ceil((calls.at(-1)!.at - from) / WINDOW_MS);
  process.stdout.write(
    `${name}: ${closed.length} closings, ${settled.length} of them in the ${windows} windows after three\n`,
  );
  settled.forEach((at, index) => {
    if (index > 0) expect(at - settled[index - 1]!).toBeGreaterThanOrEqual(WINDOW_MS);
  });
  // Upstream's Retry-After is a whole number of seconds, one at the least.
  for (const at of closed) {
    const early = calls.filter((call) => call.at > at + IN_FLIGHT_MS && call.at < at + 1000);
    expect(early).toEqual([]);
  }
}

describe('limits that are too high', () => {
  it('by a factor of four soon cause at most one closing per window, and no refused read', async () => {
    const deployment = await deploy({ limits: '50/2s', env: { UPSTREAM_LIMITS: '200/2s' } });
    const seen = await readAll(deployment, 400);
    expect(seen.filter((status) => status !== 200)).toEqual([]);
    expectKept(await deployment.upstream.recordedCalls(), 'four times too high');
  }, 180_000);

  it('because another client uses half of the quota are adapted to', async () => {
    const deployment = await deploy({ limits: '100/2s' });
    const consumer = await Consumer.start(deployment.upstream, 40);
    atEnd(() => consumer.stop());
    const seen = await readAll(deployment, 600);
    await consumer.stop();
    expect(seen.filter((status) => status !== 200)).toEqual([]);
    const calls = (await deployment.upstream.recordedCalls()).filter(({ jobId }) => !consumer.ids.has(jobId));
    expectKept(calls, 'half eaten');
  }, 180_000);
});
