import { describe, expect, it } from '@jest/globals';
import { RedisLeases } from '../../src/store/redis-leases.ts';

/** What is made of an answer to a claim, and how many faults were told. */
async function claimAnswered(answer: unknown) {
  let faults = 0;
  const leases = new RedisLeases({
    redis: { eval: () => Promise.resolve(answer) },
    keyPrefix: 'a:',
    announcer: { announce: () => Promise.resolve() },
    onFault: () => faults++,
    onSpoilt: () => undefined,
    announcedSince: () => 0,
    onAnswered: () => undefined,
  });
  return { claim: await leases.claim('a-job', 0), faults };
}

describe('a claim', () => {
  it.each([
    ['OK'],
    [1],
    [null],
    [[]],
    [[2]],
    [['mine']],
    [[0, 'mine']],
    [[0, 'mine', 'sent', 'soon', 1]],
    [[0, null, null, null, null]],
    [[0, 'mine', 'sent', 1, null]],
  ])(
    'that is answered %j, as no lease is, is a fault of the store and nobody waits for it',
    async (answer) => {
      expect(await claimAnswered(answer)).toEqual({ claim: { kind: 'unknown' }, faults: 1 });
    },
  );

  it('of a lease that another has is waited for no longer than a lease lives', async () => {
    const { claim } = await claimAnswered([0, 'mine', 'sent', 1e15, 20]);
    expect(claim).toEqual({ kind: 'taken', holder: 'mine', sent: true, endsInMs: 2000, expectedMs: 20 });
  });
});
