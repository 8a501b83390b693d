import type { Announcements } from '../upstream/copies.ts';
import type { Leases } from '../upstream/leases.ts';
import { decodeNotice } from './notices.ts';
import { RedisLeases } from './redis-leases.ts';
import type { RedisClient } from './redis-way.ts';
import { subscriber } from './subscriber.ts';

/** What replicas have of each other. */
export interface Replicas {
  readonly leases: Leases;
  readonly onRead: Announcements;
  /** Takes who is to be told of each job of which nothing is to be kept. */
  readonly onForgotten: (tell: (jobId: string) => void) => void;
  end(): void;
}

/** Where all replicas listen. */
export function noticeChannel(keyPrefix: string): string {
  return `${keyPrefix}flights`;
}

export function meetReplicas(
  redis: RedisClient,
  keyPrefix: string,
  onFault: (operation: 'lease', error: unknown) => void,
): Replicas {
  const channel = noticeChannel(keyPrefix);
  const leases = new RedisLeases({ redis, keyPrefix, channel, onFault });
  const told: ((jobId: string, finished: boolean) => void)[] = [];
  const forgetting: ((jobId: string) => void)[] = [];
  const ears = subscriber(redis);
  ears.subscribe(channel, (message) => {
    const notice = decodeNotice(message);
    if (!notice) return;
    const { jobId, said } = notice;
    if (said.kind === 'forgotten') {
      for (const forget of forgetting) forget(jobId);
      return;
    }
    if (said.kind === 'stored') for (const tell of told) tell(jobId, said.finished);
    leases.heard(jobId, said);
  });
  return {
    leases,
    onRead: (tell) => {
      told.push(tell);
    },
    onForgotten: (forget) => {
      forgetting.push(forget);
    },
    end: () => {
      ears.end();
    },
  };
}
