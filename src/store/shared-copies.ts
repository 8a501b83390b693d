import { createHash } from 'node:crypto';
import type { Cache } from 'cache-manager';
import { type Copy, isFinishedJob } from '../upstream/copy.ts';
import { lifetimeMs, type Lifetimes, remainingMs } from '../upstream/freshness.ts';
import type { SharedCopies } from '../upstream/copies.ts';
import { decodeCopy, encodeCopy, FINISHED_BEGINS } from './copy-codec.ts';
import type { Stored } from './redis-keyv.ts';
import type { InvalidValue } from './invalid-value-log.ts';

/** Changes with the form of what is stored: an older or newer gateway's values are then not even looked at. */
const VERSION = 'v1';

/** Two deployments may share a Redis: their keys differ by a digest of what they stand in front of, and as whom. */
export function keyPrefix(apiUrl: string, clientId: string): string {
  const digest = createHash('sha256').update(`${apiUrl}\n${clientId}`).digest('base64url').slice(0, 16);
  return `itwin-jobs:${digest}:${VERSION}:`;
}

/** Where the copy of a job is. */
export function copyKey(prefix: string, jobId: string): string {
  return `${prefix}job:${jobId}`;
}

export interface CachedCopiesOptions {
  readonly keyPrefix: string;
  readonly lifetimes: Lifetimes;
  readonly onFault: (operation: 'get' | 'set' | 'delete') => void;
  readonly onSpoilt: (what: InvalidValue) => void;
}

/** The shared copies in cache-manager's cache. */
export class CachedCopies implements SharedCopies {
  constructor(
    private readonly cache: Pick<Cache, 'get' | 'set' | 'del'>,
    private readonly options: CachedCopiesOptions,
  ) {}

  async get(jobId: string): Promise<Copy | undefined> {
    const stored = await this.cache.get<Stored>(this.#key(jobId)).catch(() => {
      this.options.onFault('get');
      return undefined;
    });
    if (stored?.remainingMs === undefined) return undefined;
    const copy = decodeCopy(jobId, stored.bytes, stored.remainingMs);
    if (!copy) {
      this.options.onSpoilt('copy');
      // A value that begins like a finished job would keep later documents out for its whole life.
      await this.drop(jobId);
    }
    return copy && remainingMs(copy, this.options.lifetimes) > 0 ? copy : undefined;
  }

  async put(jobId: string, copy: Copy, evenOverFinished: boolean): Promise<Copy> {
    const { lifetimes } = this.options;
    const leftMs = remainingMs(copy, lifetimes);
    if (leftMs < 1) return copy;
    // Its whole life goes with it: what Redis says is left of that tells its age.
    const bytes = encodeCopy(copy, lifetimeMs(copy, lifetimes));
    // An answer that comes late must not put a finished job back to an earlier state, or to an earlier document of its end.
    const written = { yielded: false };
    const onYield = (): void => {
      written.yielded = true;
    };
    const yielding = { yieldsTo: FINISHED_BEGINS, yieldsToLaterAlone: isFinishedJob(copy), onYield };
    const stored: Stored = evenOverFinished ? { bytes } : { bytes, ...yielding };
    await this.cache.set(this.#key(jobId), stored, leftMs).catch(() => {
      this.options.onFault('set');
    });
    return written.yielded ? ((await this.get(jobId)) ?? copy) : copy;
  }

  async drop(jobId: string): Promise<void> {
    await this.cache.del(this.#key(jobId)).catch(() => {
      this.options.onFault('delete');
    });
  }

  #key(jobId: string): string {
    return copyKey(this.options.keyPrefix, jobId);
  }
}
