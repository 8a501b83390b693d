import { type Clock, systemClock } from '../clock.ts';
import type { GatewayError } from '../errors/gateway-error.ts';
import type { ReadAnnouncements } from '../upstream/copies.ts';
import type { Leases } from '../upstream/leases.ts';
import { Announcer } from './announcer.ts';
import type { ConnectionLog } from './connection-log.ts';
import { decodeMessage, type ReplicaMessage } from './replica-messages.ts';
import { RedisLeases } from './redis-leases.ts';
import type { RedisClient } from './redis-topology.ts';
import type { InvalidValue } from './invalid-value-log.ts';
import { subscribe } from './subscriber.ts';
import { HEARTBEAT, Subscription } from './subscription.ts';

/** What replicas have of each other. */
export interface Replicas {
  readonly leases: Leases;
  readonly onRead: ReadAnnouncements;
  /** Takes who is to be told of each job for which upstream has failed to answer a replica. */
  readonly onFailed: (tell: (jobId: string, error: GatewayError) => void) => void;
  /** Takes who is to be told of each job of which nothing is to be kept. */
  readonly onForgotten: (tell: (jobId: string) => void) => void;
  /** Whether the others' notices arrive. */
  readonly subscription: Pick<Subscription, 'isUp'>;
  /**
   * Since when no announcement can have been missed, on `clock`; Infinity while some may be. While there is no
   * Redis at all it is -Infinity: what is held is the best that can be known.
   */
  readonly announcedSince: () => number;
  end(): void;
}

export interface ReplicasOptions {
  readonly redis: RedisClient;
  readonly keyPrefix: string;
  readonly log: ConnectionLog;
  /** No Retry-After that another replica tells is longer, in milliseconds. */
  readonly longestRetryAfterMs: number;
  readonly onFault: (operation: 'lease', error: unknown) => void;
  /** Notices may be missed from now on, or another attempt to subscribe has failed. */
  readonly onSubscriptionLost: () => void;
  readonly onSpoilt: (what: InvalidValue) => void;
  /** Told when Redis has answered. */
  readonly onAnswered: () => void;
  readonly clock?: Clock;
}

/** Where all replicas listen. */
export function messageChannel(keyPrefix: string): string {
  return `${keyPrefix}flights`;
}

export function joinReplicas(options: ReplicasOptions): Replicas {
  const { redis, keyPrefix, log, longestRetryAfterMs, onSpoilt, clock = systemClock } = options;
  const channel = messageChannel(keyPrefix);
  const told: Parameters<ReadAnnouncements>[0][] = [];
  const failing: ((jobId: string, error: GatewayError) => void)[] = [];
  const forgetting: ((jobId: string) => void)[] = [];

  const subscription = new Subscription({
    clock,
    log,
    isStoreReady: () => redis.status === 'ready',
    sendHeartbeat: () => redis.publish(channel, HEARTBEAT),
    reconnect: (cause) => {
      subscriber.reconnect(cause);
    },
    onLost: (wasUp) => {
      options.onSubscriptionLost();
      if (wasUp) leases.interrupt();
    },
  });
  const announcer = new Announcer({
    redis,
    channel,
    clock,
    onFault: (error) => {
      options.onFault('lease', error);
    },
  });
  const leases = new RedisLeases({ ...options, announcer, announcedSince: () => subscription.since });
  const take = (jobId: string, said: ReplicaMessage): void => {
    const isGone = said.kind === 'forgotten' || (said.kind === 'failed' && said.error.status === 403);
    if (isGone) for (const forget of forgetting) forget(jobId);
    if (said.kind === 'forgotten') return;
    if (said.kind === 'stored') for (const tell of told) tell(jobId, said.finished, said.etag);
    if (said.kind === 'failed') for (const tell of failing) tell(jobId, said.error);
    leases.heard(jobId, said);
  };
  const subscriber = subscribe(redis, {
    channel,
    clock,
    onConfirmed: () => {
      subscription.confirmed();
    },
    onLost: (cause) => {
      subscription.lost(cause);
    },
    onMessage: (message) => {
      subscription.heard();
      if (message === HEARTBEAT) return;
      const notice = decodeMessage(message, longestRetryAfterMs);
      if (notice) take(notice.jobId, notice.said);
      else onSpoilt('notice');
    },
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
    subscription,
    announcedSince: () => (redis.status === 'ready' ? subscription.since : -Infinity),
    end: () => {
      subscription.end();
      subscriber.end();
    },
  };
}
