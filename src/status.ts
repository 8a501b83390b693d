import type { Budget, BudgetMode, BudgetState } from './budget/budget.ts';
import type { Phase } from './lifecycle.ts';

/** The state of the gateway at one moment, for health, metrics and the console. It names no host and no secret. */
export interface Status {
  readonly phase: Phase;
  readonly circuit: string;
  readonly token: string;
  readonly redis: RedisStatus;
  /** Reads that wait for a slot, and how many may. */
  readonly queue: { readonly waiting: number; readonly limit: number };
  readonly budget: BudgetStatus;
  /** Open event streams of jobs. */
  readonly watchers: number;
}

export interface RedisStatus {
  /** That of the client; `not used` when there is no Redis. */
  readonly state: string;
  /** Whether the messages of the other replicas arrive; absent when there is no Redis. */
  readonly pubsub?: 'up' | 'away';
}

export interface BudgetStatus {
  readonly mode: BudgetMode;
  /** Whole milliseconds for which the gate is still closed; 0 when it is open. */
  readonly closedMs: number;
  readonly windows: readonly WindowStatus[];
}

export interface WindowStatus {
  readonly name: string;
  /** Calls that the window still takes. */
  readonly remaining: number;
  /** Calls that it takes in all: of a budget that is not shared, this replica's part of the limit. */
  readonly limit: number;
  /** The part of the limit that is in use: less than 1 after a 429 inside it. */
  readonly share: number;
}

export interface StatusSources {
  readonly lifecycle: { readonly phase: Phase };
  readonly circuit: { readonly state: string };
  readonly tokens: { readonly state: string };
  readonly throttle: { readonly depth: number };
  readonly queueLimit: number;
  readonly budget: Pick<Budget, 'state'>;
  /** How many replicas divide the limits while the budget is not shared. */
  readonly replicas: number;
  /** Absent: no Redis is used. */
  readonly redis: { readonly status: string } | undefined;
  readonly subscription: { readonly isUp: boolean } | undefined;
  readonly streams: { readonly count: number };
}

/** Assembles the status from the objects that know. Nothing is called or waited for. */
export class GatewayStatus {
  constructor(private readonly sources: StatusSources) {}

  read(): Status {
    const { lifecycle, circuit, tokens, throttle, queueLimit, budget, replicas, streams } = this.sources;
    return {
      phase: lifecycle.phase,
      circuit: circuit.state,
      token: tokens.state,
      redis: this.#redis(),
      queue: { waiting: throttle.depth, limit: queueLimit },
      budget: budgetStatus(budget.state(), replicas),
      watchers: streams.count,
    };
  }

  #redis(): RedisStatus {
    const { redis, subscription } = this.sources;
    if (!redis) return { state: 'not used' };
    return { state: redis.status, pubsub: subscription?.isUp ? 'up' : 'away' };
  }
}

function budgetStatus({ mode, closedMs, windows }: BudgetState, replicas: number): BudgetStatus {
  const sharedBy = mode === 'shared' ? 1 : replicas;
  return {
    mode,
    closedMs: Math.round(closedMs),
    windows: windows.map(({ name, remaining, limit, share }) => ({
      name,
      remaining,
      limit: Math.max(1, Math.floor(limit / sharedBy)),
      share,
    })),
  };
}
