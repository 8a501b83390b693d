import type { Copy } from '../copy.ts';
import type { Flight, Layer } from '../exchange.ts';

/** The copies that all replicas share and that outlive a restart. A fault of the store is a miss, never an error. */
export interface SharedCopies {
  get(jobId: string): Promise<Copy | undefined>;
  /** Keeps a copy for as long as it is good. Nobody waits for it: faults are counted by the store itself. */
  set(jobId: string, copy: Copy): void;
}

export function shared(copies: SharedCopies): Layer<Flight> {
  return (next) => async (read) => {
    const copy = await copies.get(read.jobId);
    if (copy) return { copy, source: 'redis', collapsed: false };
    const found = await next(read);
    copies.set(read.jobId, found.copy);
    return found;
  };
}
