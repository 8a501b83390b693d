import { createHash } from 'node:crypto';
import type { Cache } from 'cache-manager';
import { type Copy, isFinishedJob } from '../upstream/copy.ts';
import { lifetimeMs, type Lifetimes, remainingMs } from '../upstream/freshness.ts';
import type { SharedCopies } from '../upstream/copies.ts';
import { decodeCopy, encodeCopy, FINISHED_BEGINS } from './copy-codec.ts';
import type { Stored } from './redis-keyv.ts';
import type { InvalidValue } from './invalid-value-log.ts';

/** Version of the stored format, part of every key: other versions of the gateway do not share values. */
const VERSION = 'v1';

/** Prefix of all keys. Deployments that share a Redis differ by a digest of the API and the client. */
export function keyPrefix(apiUrl: string, clientId: string): string {
  const digest = createHash('sha256').update(`${apiUrl}\n${clientId}`).digest('base64url').slice(0, 16);
  return `itwin-jobs:${digest}:${VERSION}:`;
}

/** Key of a job's copy. */
export function copyKey(prefix: string, jobId: string): string {
  return `${prefix}job:${jobId}`;
}

export interface CachedCopiesOptions {
  readonly keyPrefix: string;
  readonly lifetimes: Lifetimes;
  readonly onFault: (operation: 'get' | 'set' | 'delete') => void;
  readonly onInvalidValue: (what: InvalidValue) => void;
}

/** Shared copies in a cache-manager cache. */
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
      this.options.onInvalidValue('copy');
      // Deleted, because its prefix may protect it like a finished job.
      await this.drop(jobId);
    }
    return copy && remainingMs(copy, this.options.lifetimes) > 0 ? copy : undefined;
  }

  async put(jobId: string, copy: Copy, evenOverFinished: boolean): Promise<Copy> {
    const { lifetimes } = this.options;
    const leftMs = remainingMs(copy, lifetimes);
    if (leftMs < 1) return copy;
    // Stores the total lifetime: with the remaining one from Redis it gives the age.
    const bytes = encodeCopy(copy, lifetimeMs(copy, lifetimes));
    // A late answer must not replace a finished job by an earlier state or an earlier document.
    const result = { yielded: false };
    const onYield = (): void => {
      result.yielded = true;
    };
    const yielding = { yieldsTo: FINISHED_BEGINS, yieldsToLaterAlone: isFinishedJob(copy), onYield };
    const stored: Stored = evenOverFinished ? { bytes } : { bytes, ...yielding };
    await this.cache.set(this.#key(jobId), stored, leftMs).catch(() => {
      this.options.onFault('set');
    });
    return result.yielded ? ((await this.get(jobId)) ?? copy) : copy;
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
