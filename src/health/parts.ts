import type { RedisClient } from '../store/redis-topology.ts';
import type { Budget } from '../budget/budget.ts';
import type { Circuit } from '../upstream/layers/circuit.ts';
import type { Throttle } from '../upstream/layers/throttle.ts';
import type { TokenSource } from '../upstream/token-source.ts';

export const PARTS = Symbol('Parts');

/** How one part does, and what there is to say of it. It names no host and no secret. */
interface Part {
  readonly well: boolean;
  readonly details: Readonly<Record<string, unknown>>;
}

/** The parts that the gateway can do without for a while. */
export interface Parts {
  upstream(): Part;
  token(): Part;
  redis(): Part;
  queue(): Part;
  gate(): Part;
  budget(): Part;
}

/** Those who know. */
interface Sources {
  readonly circuit: Circuit;
  readonly tokens: TokenSource;
  readonly throttle: Throttle;
  readonly budget: Budget;
  readonly queueLimit: number;
  readonly redis: RedisClient | undefined;
  /** Whether the other replicas' notices arrive. */
  readonly subscription: { readonly isUp: boolean } | undefined;
}

export function partsOf({
  circuit,
  tokens,
  throttle,
  budget,
  queueLimit,
  redis,
  subscription,
}: Sources): Parts {
  return {
    upstream: () => ({ well: circuit.state === 'closed', details: { state: circuit.state } }),
    token: () => ({ well: tokens.state !== 'failing', details: { state: tokens.state } }),
    redis: () => {
      if (!redis) return { well: true, details: { state: 'not used' } };
      const { status: state } = redis;
      const isSubscribed = subscription?.isUp ?? false;
      const pubsub = isSubscribed ? 'up' : 'away';
      return { well: state === 'ready' && isSubscribed, details: { state, pubsub } };
    },
    queue: () => ({
      well: throttle.depth < queueLimit,
      details: { waiting: throttle.depth, limit: queueLimit },
    }),
    gate: () => {
      const closedSeconds = Math.ceil(budget.state().closedMs / 1000);
      return { well: closedSeconds === 0, details: { closedSeconds } };
    },
    budget: () => {
      const { mode } = budget.state();
      return { well: mode !== 'fallback', details: { mode } };
    },
  };
}
