import { LRUCache } from 'lru-cache';
import type { Copy } from '../copy.ts';
import type { Layer } from '../exchange.ts';
import { type Lifetimes, remainingMs } from '../freshness.ts';

/** What an entry costs beside its bytes: key, copy and list nodes, roughly. */
const OVERHEAD_BYTES = 1024;

/** This process's own copies, bounded in bytes: nothing of a hit leaves the process. */
export function memory(lifetimes: Lifetimes, maxBytes: number): Layer {
  const copies = new LRUCache<string, Copy>({
    maxSize: maxBytes,
    sizeCalculation: (copy) => OVERHEAD_BYTES + (copy.kind === 'job' ? copy.body.length : 0),
  });
  return (next) => async (read) => {
    const held = copies.get(read.jobId);
    if (held && remainingMs(held, lifetimes) > 0) return { copy: held, source: 'memory', collapsed: false };
    const found = await next(read);
    // Everyone who shared the flight comes by here with the same copy.
    if (copies.peek(read.jobId) !== found.copy) copies.set(read.jobId, found.copy);
    return found;
  };
}
