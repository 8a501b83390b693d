import type { Copy } from './copy.ts';

/** How long copies are good, in milliseconds (contract section 3, Freshness). */
export interface Lifetimes {
  /** A finished job. */
  readonly finishedMs: number;
  /** Any other job. */
  readonly activeMs: number;
  /** The knowledge that there is no such job. */
  readonly missingMs: number;
}

/** The whole life of a copy, counted from when upstream was read. */
export function lifetimeMs(copy: Copy, lifetimes: Lifetimes): number {
  if (copy.kind === 'missing') return lifetimes.missingMs;
  return copy.finished ? lifetimes.finishedMs : lifetimes.activeMs;
}

/** What is left of it; 0 or less when the copy is no longer good. */
export function remainingMs(copy: Copy, lifetimes: Lifetimes): number {
  return copy.readAt + lifetimeMs(copy, lifetimes) - performance.now();
}
