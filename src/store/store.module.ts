import { CACHE_MANAGER, CacheModule } from '@nestjs/cache-manager';
import {
  type DynamicModule,
  Inject,
  Module,
  type OnApplicationShutdown,
  type OnModuleInit,
  Optional,
} from '@nestjs/common';
import type { Cache } from 'cache-manager';
import { Keyv } from 'keyv';
import type { Settings } from '../config/settings.ts';
import type { Lifetimes } from '../upstream/freshness.ts';
import { HangDetector } from './hang-detector.ts';
import type { ConnectionLog } from './connection-log.ts';
import { connectRedis, untilReady } from './redis.ts';
import { RedisKeyv } from './redis-keyv.ts';
import { type RedisClient, redisTopology } from './redis-topology.ts';
import { joinReplicas, type Replicas } from './replicas.ts';
import { InvalidValueLog, type InvalidValue } from './invalid-value-log.ts';
import { CachedCopies, keyPrefix } from './shared-copies.ts';

export const REDIS = Symbol('Redis');
export const HANGS = Symbol('Hangs');
/** The copies that all replicas share; nothing is provided when there is no store. */
export const SHARED_COPIES = Symbol('SharedCopies');
/**
 * One flight across replicas, and word of jobs that others have found finished; nothing is provided when there is no
 * store.
 */
export const REPLICAS = Symbol('Replicas');

export interface StoreModuleOptions {
  readonly settings: Settings;
  readonly lifetimes: Lifetimes;
  readonly log: ConnectionLog;
  readonly onFault: (operation: string) => void;
}

/** The shared store, when there is one. */
@Module({})
export class StoreModule implements OnModuleInit, OnApplicationShutdown {
  constructor(
    @Optional() @Inject(REDIS) private readonly redis?: RedisClient,
    @Optional() @Inject(REPLICAS) private readonly replicas?: Replicas,
  ) {}

  static register({ settings, lifetimes, log, onFault }: StoreModuleOptions): DynamicModule {
    const way = redisTopology(settings);
    if (!way) return { module: StoreModule };
    const redis = connectRedis(way, log);
    const hangs = new HangDetector(redis, () => redis.roundTrip.timeoutMs);
    const spoiltLog = new InvalidValueLog(log);
    const onInvalidValue = (what: InvalidValue): void => {
      spoiltLog.report(what);
      onFault(what === 'copy' ? 'decode' : what);
    };
    const prefix = keyPrefix(settings.ITWIN_API_URL, settings.ITWIN_CLIENT_ID);
    const options = { keyPrefix: prefix, lifetimes, onFault, onInvalidValue };
    return {
      module: StoreModule,
      imports: [CacheModule.register({ stores: [bytesIn(new RedisKeyv(redis, hangs, onFault))] })],
      providers: [
        { provide: REDIS, useValue: redis },
        { provide: HANGS, useValue: hangs },
        {
          provide: REPLICAS,
          useFactory: () =>
            joinReplicas({
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
            }),
        },
        {
          provide: SHARED_COPIES,
          useFactory: (cache: Cache) => new CachedCopies(cache, options),
          inject: [CACHE_MANAGER],
        },
      ],
      exports: [REDIS, HANGS, SHARED_COPIES, REPLICAS],
    };
  }

  /** The first reads after a restart should find what was kept for them. */
  async onModuleInit(): Promise<void> {
    if (this.redis) await untilReady(this.redis);
  }

  /** Sends what is still to be written, then leaves. */
  async onApplicationShutdown(): Promise<void> {
    this.replicas?.end();
    await this.redis?.quit().catch(() => {
      this.redis?.disconnect();
    });
  }
}

/** The values are bytes already: Keyv hands them on as they are, without a namespace or a clock of its own. */
function bytesIn(store: RedisKeyv): Keyv {
  const keyv = new Keyv({ store, useKeyPrefix: false });
  keyv.serialize = undefined;
  keyv.deserialize = undefined;
  return keyv;
}
