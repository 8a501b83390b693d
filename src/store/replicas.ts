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

/** Coordination with the other replicas. */
export interface Replicas {
  readonly leases: Leases;
  readonly onRead: ReadAnnouncements;
  /** Adds a listener for jobs whose call failed at another replica. */
  readonly onFailed: (listener: (jobId: string, error: GatewayError) => void) => void;
  /** Adds a listener for jobs to remove from memory. */
  readonly onForgotten: (listener: (jobId: string) => void) => void;
  /** Whether messages of the other replicas arrive. */
  readonly subscription: Pick<Subscription, 'isUp'>;
  /**
   * Since when no announcement can have been missed, on `clock`; Infinity while some may be. Without a connection to
   * Redis it is -Infinity, because then no newer copy than the one in memory can be found.
   */
  readonly announcedSince: () => number;
  end(): void;
}

export interface ReplicasOptions {
  readonly redis: RedisClient;
  readonly keyPrefix: string;
  readonly log: ConnectionLog;
  /** Upper bound for the Retry-After in a message, in milliseconds. */
  readonly longestRetryAfterMs: number;
  readonly onFault: (operation: 'lease', error: unknown) => void;
  /** Messages may be missed from now on, or another attempt to subscribe has failed. */
  readonly onSubscriptionLost: () => void;
  readonly onInvalidValue: (what: InvalidValue) => void;
  /** Redis has answered. */
  readonly onAnswered: () => void;
  readonly clock?: Clock;
}

/** Channel of all replicas. */
export function messageChannel(keyPrefix: string): string {
  return `${keyPrefix}flights`;
}

/** Subscribes to the messages of the other replicas and creates the leases. */
export function joinReplicas(options: ReplicasOptions): Replicas {
  const { redis, keyPrefix, log, longestRetryAfterMs, onInvalidValue, clock = systemClock } = options;
  const channel = messageChannel(keyPrefix);
  const readListeners: Parameters<ReadAnnouncements>[0][] = [];
  const failureListeners: ((jobId: string, error: GatewayError) => void)[] = [];
  const forgetListeners: ((jobId: string) => void)[] = [];

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
  const receive = (jobId: string, message: ReplicaMessage): void => {
    const isGone =
      message.kind === 'forgotten' || (message.kind === 'failed' && message.error.status === 403);
    if (isGone) for (const listener of forgetListeners) listener(jobId);
    if (message.kind === 'forgotten') return;
    if (message.kind === 'stored')
      for (const listener of readListeners) listener(jobId, message.finished, message.etag);
    if (message.kind === 'failed') for (const listener of failureListeners) listener(jobId, message.error);
    leases.receive(jobId, message);
  };
  const subscriber = subscribe(redis, {
    channel,
    clock,
    onConfirmed: () => {
      subscription.subscribed();
    },
    onLost: (cause) => {
      subscription.connectionLost(cause);
    },
    onMessage: (text) => {
      subscription.messageReceived();
      if (text === HEARTBEAT) return;
      const decoded = decodeMessage(text, longestRetryAfterMs);
      if (decoded) receive(decoded.jobId, decoded.message);
      else onInvalidValue('notice');
    },
  });
  return {
    leases,
    onRead: (listener) => {
      readListeners.push(listener);
    },
    onFailed: (listener) => {
      failureListeners.push(listener);
    },
    onForgotten: (listener) => {
      forgetListeners.push(listener);
    },
    subscription,
    announcedSince: () => (redis.status === 'ready' ? subscription.since : -Infinity),
    end: () => {
      subscription.end();
      subscriber.end();
    },
  };
}
