import type { Copy } from './copy.ts';

/** Lifetimes of copies, in milliseconds (docs/CONTRACT.md, section 3, Freshness). */
export interface Lifetimes {
  /** A finished job is fresh, and stored, for so long. */
  readonly finishedMs: number;
  /** An active job is fresh for so long … */
  readonly activeMs: number;
  /** … and stored for so long, to be served when there is no newer copy. */
  readonly staleMs: number;
  /** That a job does not exist is fresh, and stored, for so long. */
  readonly missingMs: number;
}

/** How long a copy is stored, from the time at which it was read. */
export function lifetimeMs(copy: Copy, lifetimes: Lifetimes): number {
  if (copy.kind === 'missing') return lifetimes.missingMs;
  return copy.finished ? lifetimes.finishedMs : Math.max(lifetimes.activeMs, lifetimes.staleMs);
}

/**
 * What is left of the lifetime; 0 or less when the copy has expired.
 * @param now on the clock of `readAt`
 */
export function remainingMs(copy: Copy, lifetimes: Lifetimes, now = performance.now()): number {
  return copy.readAt + lifetimeMs(copy, lifetimes) - now;
}

/** Whether a copy may be served without a call. */
export function isFresh(copy: Copy, lifetimes: Lifetimes, now = performance.now()): boolean {
  const active = copy.kind === 'job' && !copy.finished;
  const freshMs = active ? lifetimes.activeMs : lifetimeMs(copy, lifetimes);
  return now < copy.readAt + freshMs;
}
