import { Redis } from 'ioredis';
import type { Deployment, Store } from './deployment.ts';
import { SentinelSet } from './redis-sentinel.ts';

/** A temporary failure of a component. */
export interface Outage {
  readonly name: string;
  readonly forMs: number;
  readonly begin: (deployment: Deployment) => unknown;
  readonly end: (deployment: Deployment) => unknown;
  /** The shared store. Default: one Redis. */
  readonly store?: () => Promise<Store>;
  /** Statuses allowed for reads of cold jobs meanwhile: only 200 while upstream is available. */
  readonly cold: readonly number[];
}

const nothing = (): void => undefined;
const upstreamFault = (fault: object) => ({
  begin: ({ upstream }: Deployment) => upstream.fault(fault),
  end: ({ upstream }: Deployment) => upstream.clearFaults(),
});

export const OUTAGES: readonly Outage[] = [
  {
    name: 'Redis killed, and back empty after 5 s',
    forMs: 5000,
    begin: ({ redis }) => redis.kill(),
    end: ({ redis }) => redis.start(),
    cold: [200],
  },
  {
    name: 'Redis stopped for 5 s',
    forMs: 5000,
    begin: ({ redis }) => redis.signal('SIGSTOP'),
    end: ({ redis }) => redis.signal('SIGCONT'),
    cold: [200],
  },
  { name: 'Redis flushed', forMs: 0, begin: flush, end: nothing, cold: [200] },
  {
    name: 'Redis restarted empty',
    forMs: 0,
    begin: ({ redis }) => redis.kill(),
    end: ({ redis }) => redis.start(),
    cold: [200],
  },
  {
    name: 'Redis failed over by Sentinel',
    store: async () => {
      const { master, env } = await SentinelSet.start();
      return { redis: master, env };
    },
    forMs: 0,
    begin: ({ redis }) => redis.kill(),
    end: nothing,
    cold: [200],
  },
  {
    name: 'the token endpoint down for 30 s',
    forMs: 30_000,
    begin: ({ upstream }) => upstream.set({ tokenFault: { kind: 'status', status: 503 } }),
    end: ({ upstream }) => upstream.set({ tokenFault: null }),
    cold: [200, 502, 503],
  },
  {
    name: 'upstream answering 500 for 5 s',
    forMs: 5000,
    ...upstreamFault({ kind: 'status', status: 500 }),
    cold: [200, 502, 503],
  },
  {
    name: 'upstream hanging for 5 s',
    forMs: 5000,
    ...upstreamFault({ kind: 'hang' }),
    cold: [200, 503, 504],
  },
  {
    name: 'upstream resetting for 5 s',
    forMs: 5000,
    ...upstreamFault({ kind: 'reset' }),
    cold: [200, 502, 503],
  },
];

async function flush({ redis }: Deployment): Promise<void> {
  const client = new Redis(redis.url);
  await client.flushall();
  client.disconnect();
}
