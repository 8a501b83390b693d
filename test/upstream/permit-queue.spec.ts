import { describe, expect, it } from '@jest/globals';
import { ArrivalDelay } from '../../src/budget/arrival-delay.ts';
import type { Grant, Permit } from '../../src/budget/budget.ts';
import { Gate } from '../../src/budget/gate.ts';
import { GrantedPermit } from '../../src/budget/granted-permit.ts';
import { PermitQueue } from '../../src/upstream/permit-queue.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

/** A permit queue, with a budget that answers after a while with the moments that the test has put there. */
function queue({ answerMs = 0, slots = 4, waiting = 10, waitMs = 1000 } = {}) {
  const clock = new VirtualClock();
  const gate = new Gate({ clock });
  const demand = { slots, waiting };
  const asked: number[] = [];
  const unused: number[] = [];
  const moments: number[][] = [];
  const permit = (at: number): Permit =>
    new GrantedPermit(
      at,
      { clock, gate, latenessMs: 25, usableMs: 250, arrivalDelay: new ArrivalDelay() },
      { onSent: () => undefined, onMoved: () => undefined, onUnused: () => unused.push(at) },
    );
  const ask = (count: number): Promise<Grant> => {
    asked.push(count);
    const permits = (moments.shift() ?? []).slice(0, count).map(permit);
    return new Promise((resolve) => clock.after(answerMs, () => resolve({ permits, waitMs })));
  };
  const permits = new PermitQueue({ tryAcquire: ask }, () => demand, clock);
  const got: (number | { wait: number })[] = [];
  /** Takes the next permit, as a slot does. */
  const next = (): void => {
    void permits.next().then((answer) => {
      if (typeof answer !== 'number') demand.slots--;
      got.push(typeof answer === 'number' ? { wait: answer } : clock.now());
    });
  };
  return { clock, gate, demand, asked, unused, moments, permits, next, got };
}

describe('permits', () => {
  it('are asked for as many at a time as there are slots for queued reads', async () => {
    const { clock, asked, next } = queue({ slots: 6, waiting: 4 });
    next();
    await clock.advance(0);
    expect(asked).toEqual([4]);
  });

  it('are requested each second, however long the budget expects to have none', async () => {
    const { clock, asked, next, got } = queue({ waitMs: 3_000_000 });
    for (let second = 0; second < 5; second++) {
      next();
      await clock.advance(1000);
    }
    expect(asked).toHaveLength(5);
    expect(got).toEqual(got.map(() => ({ wait: 3_000_000 })));
  });

  it('are used at their moments, never before', async () => {
    const { clock, moments, next, got } = queue({ answerMs: 30 });
    moments.push([50, 120, 121]);
    next();
    await clock.advance(49);
    expect(got).toEqual([]);
    await clock.advance(60);
    next();
    await clock.advance(30);
    expect(got).toEqual([50, 120]);
  });

  it('are asked for while another is waited for', async () => {
    const { clock, moments, asked, next, demand, permits } = queue({ answerMs: 30, slots: 2 });
    moments.push([2000, 2001]);
    next();
    await clock.advance(1100);
    expect(asked).toEqual([2]);
    demand.slots = 5;
    permits.onDemandGrew();
    await clock.advance(1);
    expect(asked).toEqual([2, 3]);
  });

  it('are given back when the gate closes', async () => {
    const { clock, gate, moments, next, got, unused } = queue();
    moments.push([100, 150, 200]);
    next();
    await clock.advance(20);
    gate.close(5000, 'replica');
    await clock.advance(400);
    expect(got).toEqual([{ wait: expect.any(Number) }]);
    expect(unused).toEqual([100, 150, 200]);
  });

  it('are given back when no read needs them', async () => {
    const { clock, moments, next, permits, unused } = queue();
    moments.push([100, 150, 200]);
    next();
    await clock.advance(110);
    permits.releaseAll();
    expect(unused).toEqual([150, 200]);
  });

  it('are given back when they are far too late, and used when a little late', async () => {
    const { clock, moments, next, got, unused } = queue({ answerMs: 400 });
    moments.push([100, 300]);
    next();
    await clock.advance(400);
    expect([unused, got]).toEqual([[100], [400]]);
  });

  it('are replaced by the wait when the budget has none', async () => {
    const { clock, next, got } = queue();
    next();
    await clock.advance(0);
    expect(got).toEqual([{ wait: 1000 }]);
  });
});
