import type { Redis, Result } from 'ioredis';
import { z } from 'zod';
import { budgetScript } from './budget-script.ts';
import type { ToldSend } from './ledger.ts';
import type { NamedWindow } from './local-budget.ts';

declare module 'ioredis' {
  interface RedisCommander<Context> {
    /** budget-script.ts */
    jobsBudget(state: string, sends: string, replicas: string, request: string): Result<string, Context>;
  }
}

/** What all requests say: which state is known, and the newest of the replica's own sends that still counts. */
export interface Knowledge {
  readonly version: string | undefined;
  readonly cursor: string | undefined;
  readonly last: string | undefined;
}

/** Milliseconds throughout. */
export type Operation =
  | { readonly op: 'ask'; readonly id: string; readonly lateness: number }
  | { readonly op: 'note'; readonly id: string }
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
      readonly sends: readonly ToldSend[];
      readonly closedMs: number;
      readonly shares: readonly number[];
      /** The replica may be the first of a new deployment: there is credit for a burst. */
      readonly fresh: boolean;
    };

const reply = z.object({
  /** False: the state is not the one that is known. Nothing was done, and all sends are in `sends`. */
  known: z.boolean(),
  version: z.string().optional(),
  cursor: z.string(),
  closedMs: z.number(),
  sends: z.array(z.tuple([z.string(), z.number()])).default([]),
  windows: z.array(
    z.object({
      credit: z.number(),
      accruedAgo: z.number(),
      share: z.number(),
      recoversIn: z.number().optional(),
    }),
  ),
  /** Of `ask`. */
  wait: z.number().optional(),
  /** Of `look`: how many reads wait at each of the other replicas where any do. */
  others: z.array(z.number()).default([]),
});

export type Reply = z.output<typeof reply>;

/** The connection's part that is needed here. */
export type ScriptClient = Pick<Redis, 'defineCommand' | 'del' | 'jobsBudget'>;

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
  readonly #keys: readonly [string, string, string];
  /** What is the same in all requests. */
  readonly #constants: object;

  constructor(
    private readonly redis: ScriptClient,
    { keyPrefix, windows, replica, longestClosingMs }: BudgetStoreOptions,
  ) {
    redis.defineCommand('jobsBudget', { numberOfKeys: 3, lua: budgetScript });
    const key = (name: string): string => `${keyPrefix}{budget}:${name}`;
    this.#keys = [key('state'), key('sends'), key('replicas')];
    this.replica = replica;
    this.#constants = {
      replica,
      longestClosing: longestClosingMs,
      windows: windows.map(({ name, window: { fullLimit, spanMs, burst } }) => ({
        name,
        limit: fullLimit,
        span: spanMs,
        burst,
      })),
    };
  }

  /** @throws when Redis does not answer, refuses, or holds something that is not the state */
  async run(knowledge: Knowledge, operation: Operation): Promise<Reply> {
    const request = { ...knowledge, ...operation, ...this.#constants };
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
