import { setTimeout as delay } from 'node:timers/promises';
import type { Deployment } from './deployment.ts';
import type { Gateway } from './gateway.ts';
import { metric } from './reads.ts';

/** Metric of the memory in use; V8's reserved memory grows for minutes before it is stable. */
const IN_USE = ['nodejs_heap_size_used_bytes', 'nodejs_external_memory_bytes'];
const SAMPLE_EVERY_MS = 1000;

/** Samples the memory in use of each replica. */
export class MemoryGrowth {
  readonly #samples: number[][] = [];
  #sampling = true;
  readonly #loop: Promise<void>;

  constructor({ gateways }: Deployment) {
    this.#loop = (async () => {
      while (this.#sampling) {
        this.#samples.push(await Promise.all(gateways.map(inUse)));
        await delay(SAMPLE_EVERY_MS);
      }
    })();
  }

  /** @returns by how many bytes the memory of each replica has grown from the second quarter of the samples to the last: by the least
   * sample of each quarter, which is what garbage collections leave */
  async end(): Promise<number[]> {
    this.#sampling = false;
    await this.#loop;
    const quarter = Math.floor(this.#samples.length / 4);
    const least = (from: number, replica: number): number =>
      Math.min(...this.#samples.slice(from, from + quarter).map((at) => at[replica]!));
    return this.#samples[0]!.map((_, replica) => least(3 * quarter, replica) - least(quarter, replica));
  }
}

async function inUse(gateway: Gateway): Promise<number> {
  const parts = await Promise.all(IN_USE.map((name) => metric(gateway, name)));
  return parts.reduce((sum, bytes) => sum + bytes, 0);
}
