import { availableParallelism, cpus, release } from 'node:os';
import { canPin } from './pinned.ts';

/** Where it was measured: figures of two machines cannot be compared, ratios can. */
export function machine() {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    pinned: canPin,
    kernel: release(),
    node: process.version,
  };
}
