import type { GatewayError } from '../errors/gateway-error.ts';
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
  /** Takes who is to be told of each job for which upstream has failed to answer a replica. */
  readonly onFailed: (tell: (jobId: string, error: GatewayError) => void) => void;
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
  { onFault, onAnswered }: Pick<RedisLeasesOptions, 'onFault' | 'onAnswered'>,
): Replicas {
  const channel = noticeChannel(keyPrefix);
  const leases = new RedisLeases({ redis, keyPrefix, channel, onFault, onAnswered });
  const told: Parameters<Announcements>[0][] = [];
  const failing: ((jobId: string, error: GatewayError) => void)[] = [];
  const forgetting: ((jobId: string) => void)[] = [];
  const ears = subscriber(redis);
  ears.subscribe(channel, (message) => {
    const notice = decodeNotice(message);
    if (!notice) return;
    const { jobId, said } = notice;
    const isGone = said.kind === 'forgotten' || (said.kind === 'failed' && said.error.status === 403);
    if (isGone) for (const forget of forgetting) forget(jobId);
    if (said.kind === 'forgotten') return;
    if (said.kind === 'stored') for (const tell of told) tell(jobId, said.finished, said.etag);
    if (said.kind === 'failed') for (const tell of failing) tell(jobId, said.error);
    leases.heard(jobId, said);
  });
  return {
    leases,
    onRead: (tell) => {
      told.push(tell);
    },
    onFailed: (tell) => {
      failing.push(tell);
    },
    onForgotten: (forget) => {
      forgetting.push(forget);
    },
    end: () => {
      ears.end();
    },
  };
}
