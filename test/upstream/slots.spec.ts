import { describe, expect, it } from '@jest/globals';
import { type Slot, Slots } from '../../src/upstream/slots.ts';
import { until } from '../support/until.ts';

const LONG_MS = 60_000;

/** Slots that are held until the test releases them. */
function slotsOf(concurrency: number, longestMs = LONG_MS) {
  const held: { slot: Slot; release: () => void }[] = [];
  const slots = new Slots(concurrency, longestMs, (slot) => {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    held.push({ slot, release: () => resolve(undefined) });
    return promise.then(() => undefined);
  });
  const started = (count: number): Promise<void> =>
    until(`${count} slots have started`, () => held.length >= count, 20_000);
  const release = (): void => held.forEach((one) => one.release());
  return { slots, held, started, release };
}

describe('slots', () => {
  it('are never more than the concurrency, whatever is requested: Bottleneck holds the others back', async () => {
    const { slots, held, started, release } = slotsOf(2);
    slots.request(5);
    await started(2);
    for (const { slot } of held) slots.take(slot);
    slots.request(5);
    // Another Bottleneck job takes some 5 ms to start.
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect([held.length, slots.available, slots.calling]).toEqual([2, 0, 2]);
    held[0]!.release();
    await started(3);
    release();
    await started(4);
    release();
    await until('all are free', () => slots.calling === 0);
  });

  it('are requested once for as many calls', async () => {
    const { slots, held, started, release } = slotsOf(3);
    slots.request(1);
    slots.request(1);
    await started(1);
    slots.request(1);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect([held.length, slots.available, slots.calling]).toEqual([1, 1, 0]);
    release();
  });

  it('expire when they are held for too long, and are then free for the next', async () => {
    const { slots, held, started, release } = slotsOf(1, 300);
    slots.request(1);
    await started(1);
    slots.take(held[0]!.slot);
    slots.request(1);
    await started(2);
    expect([held[0]!.slot.expired.aborted, held[1]!.slot.expired.aborted]).toEqual([true, false]);
    expect([slots.available, slots.calling]).toEqual([1, 0]);
    release();
  });
});
