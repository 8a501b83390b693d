import type { Redis, Result } from 'ioredis';
import { z } from 'zod';
import { budgetScript } from './budget-script.ts';
import type { KnownBlock } from './ledger.ts';
import type { NamedWindow } from './local-budget.ts';
import type { RateLimitReaction } from './rate-limit-policy.ts';
import { BLOCK_SIZES, blockSizeIndex } from './send-blocks.ts';
import { recoveryStepMs, WINDOW_CONSTANTS } from './window-constants.ts';

declare module 'ioredis' {
  interface RedisCommander<Context> {
    /** budget-script.ts */
    jobsBudget(...keysAndRequest: string[]): Result<string, Context>;
  }
}

/** Longest window that a limit may have, margin included, in milliseconds. */
const LONGEST_SPAN_MS = 32 * 86_400_000;

/** What a replica knows of the state in the store. Part of every request. */
export interface KnownState {
  /** Version of the state, and for each block size a cursor: sends up to it are known. */
  readonly version: string | undefined;
  readonly cursors: readonly string[] | undefined;
  /**
   * Newest of the replica's own sends, made or granted ahead, with its age, if it still counts: a state without it has
   * lost sends.
   */
  readonly newest: readonly [send: string, agoMs: number] | undefined;
  /** Sends that were granted and not made. */
  readonly unused?: readonly string[];
}

/** Durations in milliseconds. */
export type Operation =
  | {
      readonly op: 'acquire';
      /** Names for the most sends to grant. */
      readonly sends: readonly string[];
      /** Earliest and latest send time, from now. */
      readonly lead: number;
      readonly horizon: number;
    }
  | { readonly op: 'record'; readonly send: string }
  | { readonly op: 'move'; readonly send: string; readonly agoMs: number }
  | { readonly op: 'list'; readonly from: readonly string[] }
  | { readonly op: 'sync'; readonly waiting: number }
  | { readonly op: 'close'; readonly forMs: number; readonly shares: readonly number[] }
  | ({ readonly op: 'rateLimited' } & RateLimitReaction)
  | {
      readonly op: 'merge';
      readonly sends: readonly KnownBlock[];
      readonly isLast: boolean;
      /** How many blocks earlier batches have added. */
      readonly added: number;
      readonly closedMs: number;
      readonly shares: readonly number[];
      /** This may be the first replica of a new deployment: a new state starts with credit for a burst. */
      readonly mayBurst: boolean;
    };

const reply = z.object({
  /** False: the replica does not know this state, and nothing was done. */
  known: z.boolean(),
  version: z.string().optional(),
  /** How often a merge has completed the state. */
  completions: z.number().default(0),
  /** Redis' clock. */
  now: z.number(),
  closedMs: z.number(),
  /** Blocks after the request's cursors, and the new cursors; `more`: there are further blocks. */
  sends: z.array(z.tuple([z.number().transform((index) => index - 1), z.string(), z.number()])).default([]),
  cursors: z.array(z.string()).default([]),
  more: z.boolean().default(false),
  windows: z.array(
    z.object({
      credit: z.number(),
      accruedAgo: z.number(),
      share: z.number(),
      recoversIn: z.number().optional(),
    }),
  ),
  /** Of `acquire`: send times, and the time until asking again. */
  moments: z.array(z.number()).default([]),
  wait: z.number().default(0),
  /** Of `merge`: blocks added so far. */
  added: z.number().default(0),
  /** Of `sync`: numbers of reads that wait at other replicas, and limits of replicas that differ from this one's. */
  others: z.array(z.number()).default([]),
  otherLimits: z.array(z.string()).default([]),
});

export type Reply = z.output<typeof reply>;

export type ScriptClient = Pick<Redis, 'defineCommand' | 'del' | 'jobsBudget'>;

/** Name of the key with the blocks of one size. */
export function sendsKey(size: number): string {
  return size === 1 ? 'sends' : `sends:${size}`;
}

export interface BudgetStoreOptions {
  readonly keyPrefix: string;
  readonly windows: readonly NamedWindow[];
  /** Identifies this process among those that share the state. */
  readonly replica: string;
  /** Longest closing, in milliseconds; one found in the state is shortened to it. */
  readonly longestClosingMs: number;
}

/** The shared budget's state in Redis: one script and its keys, all in one hash slot. */
export class BudgetStore {
  readonly replica: string;
  readonly #keys: readonly string[];
  /** The fields that all requests share. */
  readonly #common: object;

  constructor(
    private readonly redis: ScriptClient,
    { keyPrefix, windows, replica, longestClosingMs }: BudgetStoreOptions,
  ) {
    redis.defineCommand('jobsBudget', { numberOfKeys: 2 + BLOCK_SIZES.length, lua: budgetScript });
    const key = (name: string): string => `${keyPrefix}{budget}:${name}`;
    this.#keys = [key('state'), key('replicas'), ...BLOCK_SIZES.map((size) => key(sendsKey(size)))];
    this.replica = replica;
    this.#common = {
      replica,
      longestClosing: longestClosingMs,
      longestSpan: LONGEST_SPAN_MS,
      constants: WINDOW_CONSTANTS,
      blocks: BLOCK_SIZES,
      limits: windows.map(({ name, window }) => `${window.fullLimit}/${name}`).join(','),
      windows: windows.map(({ name, window: { fullLimit, spanMs, burst } }) => ({
        name,
        limit: fullLimit,
        span: spanMs,
        burst,
        recoveryStep: recoveryStepMs(spanMs),
        set: blockSizeIndex(fullLimit) + 1,
      })),
    };
  }

  /** @throws when Redis does not answer, returns an error, or holds something else under the keys */
  async run(knownState: KnownState, operation: Operation): Promise<Reply> {
    // Indexes of Lua start at 1.
    const merged =
      operation.op === 'merge'
        ? { sends: operation.sends.map(([size, id, agoMs]) => [size + 1, id, agoMs]) }
        : {};
    const request = { ...knownState, ...operation, ...merged, ...this.#common };
    try {
      return reply.parse(JSON.parse(await this.redis.jobsBudget(...this.#keys, JSON.stringify(request))));
    } catch (error) {
      if (isForeignValue(error)) await this.redis.del(...this.#keys);
      throw error;
    }
  }
}

/** A key holds a value of another type, which is deleted: the next request rebuilds the state. */
function isForeignValue(error: unknown): boolean {
  return error instanceof Error && error.message.includes('WRONGTYPE');
}
