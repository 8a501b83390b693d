import { LRUCache } from 'lru-cache';
import { type Clock, systemClock } from '../clock.ts';
import type { Copy } from './copy.ts';
import { isFinishedJob } from './copy.ts';
import { type Lifetimes, remainingMs } from './freshness.ts';

/** Memory of an entry beside its bytes, roughly: key, copy and list nodes. */
const OVERHEAD_BYTES = 1024;

/** The copies that all replicas share. A fault of the store is a miss, never an error. */
export interface SharedCopies {
  get(jobId: string): Promise<Copy | undefined>;
  /**
   * Stores a copy for its lifetime.
   * @param evenOverFinished true: it replaces a finished job too, which otherwise only a finished one does
   * @returns the copy that is stored now
   */
  put(jobId: string, copy: Copy, evenOverFinished: boolean): Promise<Copy>;
  drop(jobId: string): Promise<void>;
}

/** Subscribes to the reads of other replicas: the job, whether it is finished, and the entity tag of the document. */
export type ReadAnnouncements = (
  tell: (jobId: string, finished: boolean, etag: string | undefined) => void,
) => void;

export type CopyListener = (copy: Copy) => void;

/** A copy and where it was found. */
export interface HeldCopy {
  readonly copy: Copy;
  readonly source: 'memory' | 'redis';
}

interface Entry {
  readonly copy: Copy;
  /** When the store was last asked for a newer one, on `clock`. */
  readonly checkedAt: number;
}

/** A copy that is being stored. */
interface Write {
  readonly jobId: string;
  /** Another replica has announced meanwhile that the job is finished. */
  isOvertaken: boolean;
}

export interface CopiesOptions {
  readonly lifetimes: Lifetimes;
  /** Most bytes in this process' memory. */
  readonly maxBytes: number;
  readonly shared?: SharedCopies | undefined;
  readonly onReadElsewhere?: ReadAnnouncements | undefined;
  /** Since when no announcement can have been missed, on `clock`; Infinity while some may be. */
  readonly announcedSince?: (() => number) | undefined;
  /** Subscribes to the jobs whose copies are to be removed. */
  readonly onForgotten?: ((tell: (jobId: string) => void) => void) | undefined;
  readonly clock?: Clock;
}

/** Copies of jobs: in this process' memory, and behind that in the store that all replicas share. */
export class Copies {
  readonly #options: CopiesOptions;
  readonly #clock: Clock;
  readonly #memory: LRUCache<string, Entry>;
  readonly #watchers = new Map<string, Set<CopyListener>>();
  readonly #lookups = new Map<string, Promise<HeldCopy | undefined>>();
  readonly #writing = new Set<Write>();

  constructor(options: CopiesOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#memory = new LRUCache({
      maxSize: options.maxBytes,
      sizeCalculation: ({ copy }) => OVERHEAD_BYTES + (copy.kind === 'job' ? copy.body.length : 0),
    });
    // Once a job is finished anywhere, no earlier state is served here, nor an earlier document of the finished job,
    // which a caller's revalidation has replaced.
    options.onReadElsewhere?.((jobId, finished, etag) => {
      const held = this.#memory.peek(jobId)?.copy;
      if (finished && held && !isSameDocument(held, etag)) this.#memory.delete(jobId);
      if (finished) for (const write of this.#writing) write.isOvertaken ||= write.jobId === jobId;
      // A look-up that is under way may bring the copy from before.
      this.#lookups.delete(jobId);
      if (this.#watchers.has(jobId)) void this.find(jobId);
    });
    options.onForgotten?.((jobId) => {
      this.#memory.delete(jobId);
    });
  }

  /**
   * The copy in memory, if it may be served without a look-up in the store. That of an unfinished job may not while the
   * announcement of its end can have been missed.
   */
  peekMemory(jobId: string): HeldCopy | undefined {
    const entry = this.#memory.get(jobId);
    if (!entry) return undefined;
    const { announcedSince } = this.#options;
    const mayBeOvertaken = announcedSince && !isFinishedJob(entry.copy) && entry.checkedAt < announcedSince();
    return mayBeOvertaken ? undefined : this.#held(entry);
  }

  #inMemory(jobId: string): HeldCopy | undefined {
    const entry = this.#memory.get(jobId);
    return entry && this.#held(entry);
  }

  #held({ copy }: Entry): HeldCopy | undefined {
    return remainingMs(copy, this.#options.lifetimes, this.#clock.now()) > 0
      ? { copy, source: 'memory' }
      : undefined;
  }

  /** Tells of each newer copy in memory, whichever replica has read it. @returns ends it */
  watch(jobId: string, listener: CopyListener): () => void {
    const listeners = this.#watchers.get(jobId) ?? new Set();
    this.#watchers.set(jobId, listeners.add(listener));
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0 && this.#watchers.get(jobId) === listeners) this.#watchers.delete(jobId);
    };
  }

  #hold(jobId: string, copy: Copy, checkedAt: number): void {
    this.#memory.set(jobId, { copy, checkedAt });
    for (const listener of this.#watchers.get(jobId) ?? []) listener(copy);
  }

  /** The newest copy, in memory or in the store. Look-ups of one job at one time share one request. */
  find(jobId: string): Promise<HeldCopy | undefined> {
    if (!this.#options.shared) return Promise.resolve(this.#inMemory(jobId));
    const underWay = this.#lookups.get(jobId);
    if (underWay) return underWay;
    const lookup = this.#lookUp(jobId, this.#options.shared, () => this.#lookups.get(jobId) === lookup);
    this.#lookups.set(jobId, lookup);
    return lookup;
  }

  async #lookUp(jobId: string, shared: SharedCopies, isLatest: () => boolean): Promise<HeldCopy | undefined> {
    const checkedAt = this.#clock.now();
    try {
      const copy = await shared.get(jobId);
      if (!isLatest()) return await this.find(jobId);
      const own = this.#inMemory(jobId);
      // Without an answer of the store `checkedAt` stays as it is.
      if (!copy) return own;
      if (own && !isNewer(copy, own.copy)) {
        this.#memory.set(jobId, { copy: own.copy, checkedAt });
        return own;
      }
      this.#hold(jobId, copy, checkedAt);
      return { copy, source: 'redis' };
    } finally {
      if (isLatest()) this.#lookups.delete(jobId);
    }
  }

  /**
   * Stores an answer of upstream. An unfinished job never replaces a finished one.
   * @param known the copy that was refreshed: a missing job replaces it even if it is finished
   * @returns the copy that is stored now
   */
  async put(jobId: string, copy: Copy, known: Copy | undefined): Promise<Copy> {
    const isGone = copy.kind === 'missing' && known !== undefined;
    const held = this.#inMemory(jobId)?.copy;
    // A call that was sent later has been answered before.
    const best = held && isNewer(held, copy) && !isGone ? held : copy;
    const checkedAt = this.#clock.now();
    const write = { jobId, isOvertaken: false };
    this.#writing.add(write);
    try {
      const kept = (await this.#options.shared?.put(jobId, best, isGone)) ?? best;
      this.#hold(jobId, kept, write.isOvertaken ? -Infinity : checkedAt);
      return kept;
    } finally {
      this.#writing.delete(write);
    }
  }

  /** The gateway may not see the job any more. */
  async drop(jobId: string): Promise<void> {
    this.#memory.delete(jobId);
    await this.#options.shared?.drop(jobId);
  }
}

/** @param etag of the document that a replica has stored of the finished job; undefined: it did not say */
function isSameDocument(held: Copy, etag: string | undefined): boolean {
  return held.kind === 'job' && held.finished && (etag === undefined || held.etag === etag);
}

/** The later one is newer, but no unfinished job is newer than a finished one. */
function isNewer(copy: Copy, than: Copy): boolean {
  if (isFinishedJob(copy) !== isFinishedJob(than)) return isFinishedJob(copy);
  return copy.readAt > than.readAt;
}
