import { describe, expect, it } from '@jest/globals';
import { Gate } from '../../src/budget/gate.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const HOUR = 3_600_000;
const YEARS = 1_795_582_882_000;

function gateAt(longestClosingMs = HOUR) {
  const clock = new VirtualClock();
  const reports: unknown[] = [];
  const gate = new Gate({
    clock,
    longestClosingMs,
    random: () => 1,
    observer: {
      gateClosed: ({ forMs, reason, retryAfterMs }) => reports.push(['closed', forMs, reason, retryAfterMs]),
      gateOpened: (closedMs) => reports.push(['opened', closedMs]),
      pauseShortened: (retryAfterMs, closedMs) => reports.push(['shortened', retryAfterMs, closedMs]),
    },
  });
  return { clock, gate, reports };
}

describe('a gate', () => {
  it('closes for at most LONGEST_CLOSING, whatever is asked for', () => {
    for (const forMs of [HOUR + 1, YEARS, Number.MAX_SAFE_INTEGER, Infinity]) {
      for (const reason of [429, 503, 'replica'] as const) {
        const { gate } = gateAt();
        gate.close(forMs, reason, forMs);
        expect(gate.closedMs()).toBe(HOUR);
      }
    }
  });

  it('ignores closings of no time, and of NaN', () => {
    const { gate, reports } = gateAt();
    for (const forMs of [0, -1, NaN, -Infinity]) gate.close(forMs, 429, forMs);
    expect([gate.closedMs(), reports]).toEqual([0, []]);
  });

  it('never shortens a closing, and extends it to at most LONGEST_CLOSING from now', async () => {
    const { clock, gate } = gateAt();
    gate.close(5000, 429, 5000);
    gate.close(100, 429, 100);
    expect(gate.closedMs()).toBe(5000);
    await clock.advance(1000);
    gate.close(YEARS, 429, YEARS);
    expect(gate.closedMs()).toBe(HOUR);
  });

  it('reports a closing and its end once, with numbers', async () => {
    const { clock, gate, reports } = gateAt();
    gate.close(5000, 429, 5000);
    await clock.advance(30);
    // A 429 of another call in flight, and the store's view of the same closing.
    gate.close(5000, 429, 5000);
    gate.close(4990, 'replica');
    await clock.advance(10_000);
    expect(reports).toEqual([
      ['closed', 5000, 429, 5000],
      ['opened', 5030],
    ]);
    expect(clock.pending).toBe(0);
  });

  it('reports a closing that is extended by more than a second', async () => {
    const { clock, gate, reports } = gateAt();
    gate.close(1000, 429, 1000);
    gate.close(60_000, 503, 60_000);
    await clock.advance(61_000);
    expect(reports).toEqual([
      ['closed', 1000, 429, 1000],
      ['closed', 60_000, 503, 60_000],
      ['opened', 60_000],
    ]);
  });

  it('reports once per closing that the requested pause was shortened', async () => {
    const { clock, gate, reports } = gateAt(2000);
    for (let times = 0; times < 3; times++) gate.close(YEARS, 503, YEARS);
    await clock.advance(2010);
    // The next call gets the same answer.
    gate.close(YEARS, 503, YEARS);
    await clock.advance(3000);
    const round = [
      ['shortened', YEARS, 2000],
      ['closed', 2000, 503, YEARS],
      ['opened', 2000],
    ];
    expect(reports).toEqual([...round, ...round]);
  });

  it('reports no second closing when the store announces the same one a little late', async () => {
    const { clock, gate, reports } = gateAt();
    gate.close(1000, 429, 1000);
    await clock.advance(1000);
    gate.close(3, 'replica');
    await clock.advance(500);
    expect(reports).toEqual([
      ['closed', 1000, 429, 1000],
      ['opened', 1003],
    ]);
  });

  it('reports the end of a closing of 31 days, which exceeds the longest timer of Node', async () => {
    const month = 31 * 24 * HOUR;
    const { clock, gate, reports } = gateAt(month);
    const delays: number[] = [];
    const after = clock.after.bind(clock);
    clock.after = (ms, callback) => {
      delays.push(ms);
      return after(ms, callback);
    };
    gate.close(month, 503, month);
    await clock.advance(month + 1000);
    expect(reports.at(-1)).toEqual(['opened', month]);
    expect(Math.max(...delays)).toBeLessThan(2 ** 31);
  });

  it('doubles its backoff with each 429 without Retry-After, up to a minute', async () => {
    const { clock, gate } = gateAt();
    const waits: number[] = [];
    for (let times = 0; times < 8; times++) {
      const waitMs = gate.backoffMs();
      waits.push(waitMs);
      gate.close(waitMs, 429);
      await clock.advance(waitMs);
    }
    expect(waits).toEqual([1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
    for (let times = 0; times < 2000; times++) gate.backoffMs();
    expect(gate.backoffMs()).toBe(60_000);
    gate.close(1000, 429);
    await clock.advance(62_000);
    expect(gate.backoffMs()).toBe(1000);
  });
});
