import type { Copy } from './copy.ts';

/** How long copies are good, in milliseconds (docs/CONTRACT.md, section 3, Freshness). */
export interface Lifetimes {
  /** A finished job: for so long it is fresh, and kept. */
  readonly finishedMs: number;
  /** Any other job is fresh for so long … */
  readonly activeMs: number;
  /** … and kept for so long, to be served when there is no newer one. */
  readonly staleMs: number;
  /** The knowledge that there is no such job. */
  readonly missingMs: number;
}

/** For how long a copy is kept, counted from when upstream was read. */
export function lifetimeMs(copy: Copy, lifetimes: Lifetimes): number {
  if (copy.kind === 'missing') return lifetimes.missingMs;
  return copy.finished ? lifetimes.finishedMs : Math.max(lifetimes.activeMs, lifetimes.staleMs);
}

/**
 * What is left of it; 0 or less when the copy is of no use any more.
 * @param now on the clock of `readAt`
 */
export function remainingMs(copy: Copy, lifetimes: Lifetimes, now = performance.now()): number {
  return copy.readAt + lifetimeMs(copy, lifetimes) - now;
}

/** Whether a copy may be served as it is, without a look upstream. */
export function isFresh(copy: Copy, lifetimes: Lifetimes, now = performance.now()): boolean {
  const active = copy.kind === 'job' && !copy.finished;
  const freshMs = active ? lifetimes.activeMs : lifetimeMs(copy, lifetimes);
  return now < copy.readAt + freshMs;
}
