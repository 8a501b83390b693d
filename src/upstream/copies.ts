import { LRUCache } from 'lru-cache';
import { type Clock, systemClock } from '../clock.ts';
import type { Copy } from './copy.ts';
import { isFinishedJob } from './copy.ts';
import { type Lifetimes, remainingMs } from './freshness.ts';

/** What an entry costs beside its bytes: key, copy and list nodes, roughly. */
const OVERHEAD_BYTES = 1024;

/** The copies that all replicas share and that outlive a restart. A fault of the store is a miss, never an error. */
export interface SharedCopies {
  get(jobId: string): Promise<Copy | undefined>;
  /**
   * Keeps a copy for as long as it is good.
   * @param evenOverFinished true: it replaces a finished job too, which otherwise nothing does
   * @returns the copy that is good now
   */
  put(jobId: string, copy: Copy, evenOverFinished: boolean): Promise<Copy>;
  drop(jobId: string): Promise<void>;
}

/** Takes who is to be told of each job that a replica has read, whether it found it finished, and the tag of the document. */
export type ReadAnnouncements = (
  tell: (jobId: string, finished: boolean, etag: string | undefined) => void,
) => void;

export type CopyListener = (copy: Copy) => void;

/** A copy, and where it was. */
export interface HeldCopy {
  readonly copy: Copy;
  readonly source: 'memory' | 'redis';
}

/** A copy in memory. */
interface Entry {
  readonly copy: Copy;
  /** When the store was asked whether there is a newer one, on `clock`. */
  readonly checkedAt: number;
}

/** A copy on its way into the store. */
interface Write {
  readonly jobId: string;
  /** Another replica has told meanwhile that the job is finished. */
  isOvertaken: boolean;
}

export interface CopiesOptions {
  readonly lifetimes: Lifetimes;
  /** Most bytes of this process' own copies. */
  readonly maxBytes: number;
  readonly shared?: SharedCopies | undefined;
  readonly onReadElsewhere?: ReadAnnouncements | undefined;
  /** Since when none of these can have been missed, on `clock`; Infinity while some may be. */
  readonly announcedSince?: (() => number) | undefined;
  /** Takes who is to be told of each job of which nothing is to be kept. */
  readonly onForgotten?: ((tell: (jobId: string) => void) => void) | undefined;
  readonly clock?: Clock;
}

/** What is held of jobs: in this process, where nothing of a hit leaves it, and behind that what all replicas share. */
export class Copies {
  readonly #options: CopiesOptions;
  readonly #clock: Clock;
  readonly #memory: LRUCache<string, Entry>;
  readonly #watchers = new Map<string, Set<CopyListener>>();
  readonly #looking = new Map<string, Promise<HeldCopy | undefined>>();
  readonly #writing = new Set<Write>();

  constructor(options: CopiesOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#memory = new LRUCache({
      maxSize: options.maxBytes,
      sizeCalculation: ({ copy }) => OVERHEAD_BYTES + (copy.kind === 'job' ? copy.body.length : 0),
    });
    // The end of a job, once known anywhere, is known everywhere: nobody is shown an earlier state after it, nor another
    // document of the end, which a caller has had replaced.
    options.onReadElsewhere?.((jobId, finished, etag) => {
      const held = this.#memory.peek(jobId)?.copy;
      if (finished && held && !isSameEnd(held, etag)) this.#memory.delete(jobId);
      if (finished) for (const write of this.#writing) write.isOvertaken ||= write.jobId === jobId;
      // A look that is under way may bring what was there before.
      this.#looking.delete(jobId);
      if (this.#watchers.has(jobId)) void this.find(jobId);
    });
    options.onForgotten?.((jobId) => {
      this.#memory.delete(jobId);
    });
  }

  /**
   * This process' own copy, if it may be served as it is. One of an unfinished job may not as long as the end of the job can have been announced
   * unheard: `find` looks for that.
   */
  peekMemory(jobId: string): HeldCopy | undefined {
    const entry = this.#memory.get(jobId);
    if (!entry) return undefined;
    const { announcedSince } = this.#options;
    const mayBeOvertaken = announcedSince && !isFinishedJob(entry.copy) && entry.checkedAt < announcedSince();
    return mayBeOvertaken ? undefined : this.#held(entry);
  }

  #own(jobId: string): HeldCopy | undefined {
    const entry = this.#memory.get(jobId);
    return entry && this.#held(entry);
  }

  #held({ copy }: Entry): HeldCopy | undefined {
    return remainingMs(copy, this.#options.lifetimes, this.#clock.now()) > 0
      ? { copy, source: 'memory' }
      : undefined;
  }

  /** Tells of each newer copy that comes to be held here, whoever has read it. @returns what ends it */
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

  /** The newest copy, wherever it is. However many look for one at one time, the store is asked once. */
  find(jobId: string): Promise<HeldCopy | undefined> {
    if (!this.#options.shared) return Promise.resolve(this.#own(jobId));
    const underWay = this.#looking.get(jobId);
    if (underWay) return underWay;
    const look = this.#look(jobId, this.#options.shared, () => this.#looking.get(jobId) === look);
    this.#looking.set(jobId, look);
    return look;
  }

  async #look(jobId: string, shared: SharedCopies, isLatest: () => boolean): Promise<HeldCopy | undefined> {
    const checkedAt = this.#clock.now();
    try {
      const copy = await shared.get(jobId);
      if (!isLatest()) return await this.find(jobId);
      const own = this.#own(jobId);
      // Nothing was found, or nothing was said: the copy here stays as doubtful as it was.
      if (!copy) return own;
      if (own && !isNewer(copy, own.copy)) {
        this.#memory.set(jobId, { copy: own.copy, checkedAt });
        return own;
      }
      this.#hold(jobId, copy, checkedAt);
      return { copy, source: 'redis' };
    } finally {
      if (isLatest()) this.#looking.delete(jobId);
    }
  }

  /**
   * Keeps what upstream has said.
   * @param known the copy that it is the refresh of: of a finished job only the knowledge that it is gone takes the place
   * @returns what is good now: what is not finished never replaces what is
   */
  async put(jobId: string, copy: Copy, known: Copy | undefined): Promise<Copy> {
    const isGone = copy.kind === 'missing' && known !== undefined;
    const held = this.#own(jobId)?.copy;
    // An answer that was overtaken by a later one is none.
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

/** @param etag of the document that a replica has stored of a finished job; nothing: it did not say */
function isSameEnd(held: Copy, etag: string | undefined): boolean {
  return held.kind === 'job' && held.finished && (etag === undefined || held.etag === etag);
}

/** Time decides, but nothing that is not finished is newer than what is. */
function isNewer(copy: Copy, than: Copy): boolean {
  if (isFinishedJob(copy) !== isFinishedJob(than)) return isFinishedJob(copy);
  return copy.readAt > than.readAt;
}
