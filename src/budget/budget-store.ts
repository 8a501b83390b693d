import type { Redis, Result } from 'ioredis';
import { z } from 'zod';
import { budgetScript } from './budget-script.ts';
import type { KnownBlock } from './ledger.ts';
import type { NamedWindow } from './local-budget.ts';
import { BLOCK_SIZES, blockSizeIndex } from './send-blocks.ts';

declare module 'ioredis' {
  interface RedisCommander<Context> {
    /** budget-script.ts */
    jobsBudget(...keysAndRequest: string[]): Result<string, Context>;
  }
}

/** The longest window that a limit may have, with its margin. In milliseconds. */
const LONGEST_SPAN_MS = 32 * 86_400_000;

/** What all requests say. */
export interface Knowledge {
  /** The state that is known, and of each block size up to where. */
  readonly version: string | undefined;
  readonly cursors: readonly string[] | undefined;
  /** The newest of the replica's own sends, gone or granted ahead, if it still counts. */
  readonly newest: readonly [send: string, agoMs: number] | undefined;
  /** Sends that were granted and did not go. */
  readonly unused?: readonly string[];
}

/** Milliseconds throughout. */
export type Operation =
  | {
      readonly op: 'ask';
      /** Names for as many sends as are granted at most. */
      readonly sends: readonly string[];
      /** From when on and up to when they are granted. */
      readonly lead: number;
      readonly horizon: number;
    }
  | { readonly op: 'note'; readonly send: string }
  | { readonly op: 'recount'; readonly send: string; readonly agoMs: number }
  | { readonly op: 'list'; readonly from: readonly string[] }
  | { readonly op: 'look'; readonly waiting: number }
  | { readonly op: 'close'; readonly forMs: number; readonly shares: readonly number[] }
  | {
      readonly op: 'refused';
      readonly forMs: number;
      /** Upstream itself said for how long. */
      readonly explained: boolean;
      /** The name of the window whose limit is cut. */
      readonly cuts: string | undefined;
    }
  | {
      readonly op: 'tell';
      readonly sends: readonly KnownBlock[];
      readonly isLast: boolean;
      /** How many were missing among those told before. */
      readonly added: number;
      readonly closedMs: number;
      readonly shares: readonly number[];
      /** The replica may be the first of a new deployment: there is credit for a burst. */
      readonly fresh: boolean;
    };

const reply = z.object({
  /** False: the state is not the one that is known, and nothing was done. */
  known: z.boolean(),
  version: z.string().optional(),
  /** How often the state has been completed by telling. */
  completions: z.number().default(0),
  /** What the clock of the store says. */
  now: z.number(),
  closedMs: z.number(),
  /** Blocks of sends that are new, up to these cursors; `more`: there are further ones. */
  sends: z.array(z.tuple([z.number().transform((place) => place - 1), z.string(), z.number()])).default([]),
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
  /** Of `ask`: when the sends may go, and when to ask for more. */
  moments: z.array(z.number()).default([]),
  wait: z.number().default(0),
  /** Of `tell`. */
  added: z.number().default(0),
  /** Of `look`: how many reads wait at each of the other replicas where any do, and limits there that are not those of this one. */
  others: z.array(z.number()).default([]),
  otherLimits: z.array(z.string()).default([]),
});

export type Reply = z.output<typeof reply>;

/** The connection's part that is needed here. */
export type ScriptClient = Pick<Redis, 'defineCommand' | 'del' | 'jobsBudget'>;

/** Where the blocks of one size are. */
export function sendsKey(size: number): string {
  return size === 1 ? 'sends' : `sends:${size}`;
}

export interface BudgetStoreOptions {
  readonly keyPrefix: string;
  readonly windows: readonly NamedWindow[];
  /** Names this process among those that share the state. */
  readonly replica: string;
  /** No closing lasts longer, one that is read from the state included. In milliseconds. */
  readonly longestClosingMs: number;
}

/** The shared budget's state in Redis: one script, on its keys (all in one hash slot). */
export class BudgetStore {
  readonly replica: string;
  readonly #keys: readonly string[];
  /** What is the same in all requests. */
  readonly #constants: object;

  constructor(
    private readonly redis: ScriptClient,
    { keyPrefix, windows, replica, longestClosingMs }: BudgetStoreOptions,
  ) {
    redis.defineCommand('jobsBudget', { numberOfKeys: 2 + BLOCK_SIZES.length, lua: budgetScript });
    const key = (name: string): string => `${keyPrefix}{budget}:${name}`;
    this.#keys = [key('state'), key('replicas'), ...BLOCK_SIZES.map((size) => key(sendsKey(size)))];
    this.replica = replica;
    this.#constants = {
      replica,
      longestClosing: longestClosingMs,
      longestSpan: LONGEST_SPAN_MS,
      blocks: BLOCK_SIZES,
      limits: windows.map(({ name, window }) => `${window.fullLimit}/${name}`).join(','),
      windows: windows.map(({ name, window: { fullLimit, spanMs, burst } }) => ({
        name,
        limit: fullLimit,
        span: spanMs,
        burst,
        set: blockSizeIndex(fullLimit) + 1,
      })),
    };
  }

  /** @throws when Redis does not answer, refuses, or holds something that is not the state */
  async run(knowledge: Knowledge, operation: Operation): Promise<Reply> {
    const told =
      operation.op === 'tell'
        ? { sends: operation.sends.map(([size, id, agoMs]) => [size + 1, id, agoMs]) }
        : {};
    const request = { ...knowledge, ...operation, ...told, ...this.#constants };
    try {
      return reply.parse(JSON.parse(await this.redis.jobsBudget(...this.#keys, JSON.stringify(request))));
    } catch (error) {
      if (isGarbage(error)) await this.redis.del(...this.#keys);
      throw error;
    }
  }
}

/** What is under our keys is nothing of ours: it is thrown away, and rebuilt by the next request. */
function isGarbage(error: unknown): boolean {
  return error instanceof Error && error.message.includes('WRONGTYPE');
}
