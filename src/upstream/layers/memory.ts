import { LRUCache } from 'lru-cache';
import type { Copy } from '../copy.ts';
import type { Layer } from '../exchange.ts';
import { type Lifetimes, remainingMs } from '../freshness.ts';

/** What an entry costs beside its bytes: key, copy and list nodes, roughly. */
const OVERHEAD_BYTES = 1024;

/** Takes who is to be told of each job that another replica has found finished. */
export type Announcements = (tell: (jobId: string) => void) => void;

/** This process's own copies, bounded in bytes: nothing of a hit leaves the process. */
export function memory(lifetimes: Lifetimes, maxBytes: number, onFinishedElsewhere?: Announcements): Layer {
  const copies = new LRUCache<string, Copy>({
    maxSize: maxBytes,
    sizeCalculation: (copy) => OVERHEAD_BYTES + (copy.kind === 'job' ? copy.body.length : 0),
  });
  // The end of a job, once known anywhere, is known everywhere: nobody is shown an earlier state after it.
  onFinishedElsewhere?.((jobId) => {
    const held = copies.peek(jobId);
    if (held?.kind !== 'job' || !held.finished) copies.delete(jobId);
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
