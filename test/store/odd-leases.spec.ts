import { describe, expect, it } from '@jest/globals';
import { RedisLeases } from '../../src/store/redis-leases.ts';

/** What is made of an answer to a claim, and how many faults were told. */
async function claimAnswered(answer: unknown) {
  let faults = 0;
  const leases = new RedisLeases({
    redis: { eval: () => Promise.resolve(answer), publish: () => Promise.resolve(0) },
    keyPrefix: 'a:',
    channel: 'a',
    onFault: () => faults++,
    onAnswered: () => undefined,
  });
  return { claim: await leases.claim('a-job', 0), faults };
}

describe('a claim', () => {
  it.each([
    ['OK'],
    [1],
    [null],
    [['mine']],
    [['mine', 'soon', 1]],
    [[null, null, null]],
    [['mine', 1, null]],
  ])(
    'that is answered %j, as no lease is, is a fault of the store and nobody waits for it',
    async (answer) => {
      expect(await claimAnswered(answer)).toEqual({ claim: { kind: 'unknown' }, faults: 1 });
    },
  );

  it('of a lease that another has is waited for no longer than a lease lives', async () => {
    const { claim } = await claimAnswered(['mine 1 sent', 1e15, 20]);
    expect(claim).toEqual({ kind: 'taken', sent: true, endsInMs: 2000, expectedMs: 20 });
  });
});
