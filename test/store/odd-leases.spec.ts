import { describe, expect, it } from '@jest/globals';
import { RedisLeases } from '../../src/store/redis-leases.ts';

/** The result of a claim with this reply, and the number of reported faults. */
async function claimWithReply(answer: unknown) {
  let faults = 0;
  const leases = new RedisLeases({
    redis: { eval: () => Promise.resolve(answer) },
    keyPrefix: 'a:',
    announcer: { announce: () => Promise.resolve() },
    onFault: () => faults++,
    onInvalidValue: () => undefined,
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
    'with the invalid reply %j counts as a fault of the store, and its result is unknown',
    async (answer) => {
      expect(await claimWithReply(answer)).toEqual({ claim: { kind: 'unknown' }, faults: 1 });
    },
  );

  it('of a taken lease reports no longer lifetime than any lease has', async () => {
    const { claim } = await claimWithReply([0, 'mine', 'sent', 1e15, 20]);
    expect(claim).toEqual({ kind: 'taken', holder: 'mine', sent: true, endsInMs: 2000, expectedMs: 20 });
  });
});
