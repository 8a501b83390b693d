import type { Announcements } from '../upstream/copies.ts';
import type { Leases } from '../upstream/leases.ts';
import { decodeNotice } from './notices.ts';
import { RedisLeases, type RedisLeasesOptions } from './redis-leases.ts';
import type { RedisClient } from './redis-way.ts';
import { subscriber } from './subscriber.ts';

/** What replicas have of each other. */
export interface Replicas {
  readonly leases: Leases;
  readonly onRead: Announcements;
  end(): void;
}

export function meetReplicas(
  redis: RedisClient,
  keyPrefix: string,
  { onFault, onAnswered }: Pick<RedisLeasesOptions, 'onFault' | 'onAnswered'>,
): Replicas {
  const channel = `${keyPrefix}flights`;
  const leases = new RedisLeases({ redis, keyPrefix, channel, onFault, onAnswered });
  const told: ((jobId: string, finished: boolean) => void)[] = [];
  const ears = subscriber(redis);
  ears.subscribe(channel, (message) => {
    const notice = decodeNotice(message);
    if (!notice) return;
    const { jobId, said } = notice;
    if (said.kind === 'stored') for (const tell of told) tell(jobId, said.finished);
    leases.heard(jobId, said);
  });
  return {
    leases,
    onRead: (tell) => {
      told.push(tell);
    },
    end: () => {
      ears.end();
    },
  };
}
