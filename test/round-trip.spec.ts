import { describe, expect, it } from '@jest/globals';
import { RoundTrip } from '../src/round-trip.ts';

function roundTripAfter(...samples: number[]): RoundTrip {
  const roundTrip = new RoundTrip();
  for (const sample of samples) roundTrip.observe(sample);
  return roundTrip;
}

describe('the command timeout', () => {
  it('is 100 ms without samples, and for a near server', () => {
    expect(roundTripAfter().timeoutMs).toBe(100);
    expect(roundTripAfter(...Array<number>(50).fill(1)).timeoutMs).toBeCloseTo(101, 0);
  });

  it('covers the jitter of a distant server from the first sample on', () => {
    const samples = Array.from({ length: 200 }, (_, index) => 60 + ((index * 37) % 81));
    const roundTrip = new RoundTrip();
    for (const sample of samples) {
      roundTrip.observe(sample);
      expect(roundTrip.timeoutMs).toBeGreaterThan(140);
    }
    expect(roundTrip.timeoutMs).toBeLessThan(300);
  });

  it('is at most a second', () => {
    expect(roundTripAfter(5000).timeoutMs).toBe(1000);
  });
});
