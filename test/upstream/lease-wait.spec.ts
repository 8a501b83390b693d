import { beforeEach, describe, expect, it } from '@jest/globals';
import { LeaseWait } from '../../src/upstream/lease-wait.ts';
import { settled, VirtualClock } from '../support/virtual-clock.ts';

let clock: VirtualClock;
let wait: LeaseWait;

beforeEach(() => {
  clock = new VirtualClock();
  wait = new LeaseWait(3000, clock);
});

/** The number of claims in so many milliseconds when each one fails at once. */
async function claimsIn(ms: number): Promise<number> {
  const end = new AbortController();
  let claims = 0;
  const claim = async (): Promise<void> => {
    for (;;) {
      wait.onClaim();
      claims++;
      await wait.untilNextClaim(end.signal);
      await settled();
    }
  };
  const claiming = claim().catch(() => undefined);
  await clock.advance(ms);
  end.abort();
  await claiming;
  return claims;
}

describe('the wait for a lease of another replica', () => {
  it('claims three times without a pause, then four times a second', async () => {
    expect(await claimsIn(10_000)).toBeLessThanOrEqual(3 + 40);
    expect(clock.now()).toBe(10_000);
  });

  it('looks at the lease again after its end, and much sooner while notices may be missed', async () => {
    wait.onClaim();
    expect(wait.nextLookMs(2000, true)).toBeGreaterThanOrEqual(2000);
    const looks: number[] = [];
    for (let look = 0; look < 6; look++) {
      looks.push(Math.round(wait.nextLookMs(2000, false)));
      await clock.advance(1000);
      wait.onClaim();
    }
    expect(looks).toEqual([100, 150, 225, 338, 500, 500]);
  });

  it('believes that a call is under way for as long as calls can take in all', async () => {
    wait.onSent();
    await clock.advance(2000);
    wait.onNotSent();
    await clock.advance(10_000);
    expect(wait.isOverdue).toBe(false);
    wait.onSent();
    expect(wait.nextLookMs(2000, true)).toBe(1000);
    await clock.advance(1000);
    expect(wait.isOverdue).toBe(true);
  });
});
