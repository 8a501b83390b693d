import { CACHE_MANAGER, CacheModule } from '@nestjs/cache-manager';
import { NestFactory } from '@nestjs/core';
import type { Cache } from 'cache-manager';
import { Keyv } from 'keyv';
import type { Settings } from '../config/settings.ts';
import type { ConnectionLog } from '../store/connection-log.ts';
import { HangDetector } from '../store/hang-detector.ts';
import { InvalidValueLog, type InvalidValue } from '../store/invalid-value-log.ts';
import { connectRedis, untilReady } from '../store/redis.ts';
import { RedisKeyv } from '../store/redis-keyv.ts';
import { type RedisClient, redisTopology } from '../store/redis-topology.ts';
import { joinReplicas, type Replicas } from '../store/replicas.ts';
import { CachedCopies, keyPrefix } from '../store/shared-copies.ts';
import type { SharedCopies } from '../upstream/copies.ts';
import type { Lifetimes } from '../upstream/freshness.ts';

/** Everything that lives in Redis or is learnt through it. */
export interface Store {
  readonly redis: RedisClient;
  readonly hangs: HangDetector;
  /** The copies that all replicas share. */
  readonly copies: SharedCopies;
  /** Leases, and the messages of the other replicas. */
  readonly replicas: Replicas;
  /**
   * Waits a moment for the connection: the first reads after a restart should find the stored copies. Never rejects.
   */
  ready(): Promise<void>;
  /** Sends the commands that are still to be written, then disconnects. */
  end(): Promise<void>;
}

/**
 * Connects to Redis in the background.
 * @param onFault called for each failed operation
 * @returns nothing when the settings name no Redis
 */
export async function createStore(
  settings: Settings,
  lifetimes: Lifetimes,
  log: ConnectionLog,
  onFault: (operation: string) => void,
): Promise<Store | undefined> {
  const topology = redisTopology(settings);
  if (!topology) return undefined;
  const redis = connectRedis(topology, log);
  const hangs = new HangDetector(redis, () => redis.roundTrip.timeoutMs);
  const invalidValues = new InvalidValueLog(log);
  const onInvalidValue = (value: InvalidValue): void => {
    invalidValues.report(value);
    onFault(value === 'copy' ? 'decode' : value);
  };
  const prefix = keyPrefix(settings.ITWIN_API_URL, settings.ITWIN_CLIENT_ID);
  const cache = await createCache(new RedisKeyv(redis, hangs, onFault));
  const replicas = joinReplicas({
    redis,
    keyPrefix: prefix,
    log,
    longestRetryAfterMs: settings.LONGEST_CLOSING,
    onInvalidValue,
    onSubscriptionLost: () => {
      onFault('subscribe');
    },
    onFault: (operation, error) => {
      hangs.failed(error);
      onFault(operation);
    },
    onAnswered: () => {
      hangs.answered();
    },
  });
  return {
    redis,
    hangs,
    copies: new CachedCopies(cache, { keyPrefix: prefix, lifetimes, onFault, onInvalidValue }),
    replicas,
    ready: () => untilReady(redis),
    end: async () => {
      replicas.end();
      await redis.quit().catch(() => {
        redis.disconnect();
      });
    },
  };
}

/** Nest's cache module makes caches only inside a container, so it gets a container of its own. */
async function createCache(store: RedisKeyv): Promise<Cache> {
  const keyv = new Keyv({ store, useKeyPrefix: false });
  // The values are bytes already.
  keyv.serialize = undefined;
  keyv.deserialize = undefined;
  const container = await NestFactory.createApplicationContext(CacheModule.register({ stores: [keyv] }), {
    logger: false,
    abortOnError: false,
  });
  return container.get<Cache>(CACHE_MANAGER);
}
