import { EventEmitter } from 'node:events';
import type { KeyvStoreAdapter, StoredData } from 'keyv';
import type { HangDetector } from './hang-detector.ts';
import type { RedisClient } from './redis-topology.ts';

/**
 * Stores a value unless the current one has a protected prefix. KEYS: the key. ARGV: value, lifetime in ms, protected
 * prefix, and `later` if the prefix protects only a value that expires later. A value of another type is replaced.
 */
const SET_UNLESS = `
local held = redis.pcall('GETRANGE', KEYS[1], 0, #ARGV[3] - 1)
if held == ARGV[3] and (ARGV[4] == '' or redis.call('PTTL', KEYS[1]) > tonumber(ARGV[2])) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1`;

/** Reply of PTTL for a key without expiry. */
const NO_EXPIRY = -1;

/** A value as passed through Keyv. */
export interface Stored {
  readonly bytes: Buffer;
  /** Prefix of values that must not be replaced. */
  readonly yieldsTo?: string;
  /** The prefix protects only values that expire later, which are newer. */
  readonly yieldsToLaterAlone?: boolean;
  /** Called when the current value was kept. */
  readonly onYield?: () => void;
  /** Remaining lifetime by Redis' clock, in milliseconds; set when read. Infinity: no expiry. */
  readonly remainingMs?: number;
}

/**
 * Keyv adapter that stores bytes over the gateway's connection. Redis alone handles expiry, so that clocks of replicas
 * do not matter; the remaining lifetime comes with the value. An error counts as a fault and reads as a miss.
 */
export class RedisKeyv extends EventEmitter implements KeyvStoreAdapter {
  readonly opts = {};
  namespace: string | undefined;

  constructor(
    private readonly redis: RedisClient,
    private readonly hangs: HangDetector,
    private readonly onFault: (operation: 'get' | 'set' | 'delete') => void,
  ) {
    super();
  }

  async get<Value>(key: string): Promise<StoredData<Value> | undefined> {
    try {
      const [bytes, ttl] = await Promise.all([this.redis.getBuffer(key), this.redis.pttl(key)]);
      this.hangs.answered();
      if (bytes === null) return undefined;
      // A server that is not Redis may reply with anything.
      if (!Buffer.isBuffer(bytes) || !Number.isFinite(ttl)) throw new Error('invalid reply');
      if (ttl <= 0 && ttl !== NO_EXPIRY) return undefined;
      const remainingMs = ttl === NO_EXPIRY ? Infinity : ttl;
      return { value: { bytes, remainingMs } satisfies Stored as Value };
    } catch (error) {
      this.#failed('get', error);
      return undefined;
    }
  }

  async set(key: string, data: unknown, ttl?: number): Promise<boolean> {
    const { bytes, yieldsTo, yieldsToLaterAlone = false, onYield } = (data as { value: Stored }).value;
    try {
      if (ttl === undefined) throw new Error('a TTL is required');
      const ttlMs = Math.max(1, Math.round(ttl));
      if (yieldsTo === undefined) await this.redis.set(key, bytes, 'PX', ttlMs);
      else {
        const unless = [yieldsTo, yieldsToLaterAlone ? 'later' : ''];
        if ((await this.redis.eval(SET_UNLESS, 1, key, bytes, ttlMs, ...unless)) === 0) onYield?.();
      }
      this.hangs.answered();
      return true;
    } catch (error) {
      this.#failed('set', error);
      return false;
    }
  }

  async delete(key: string): Promise<boolean> {
    try {
      return (await this.redis.del(key)) > 0;
    } catch (error) {
      this.#failed('delete', error);
      return false;
    }
  }

  #failed(operation: 'get' | 'set' | 'delete', error: unknown): void {
    this.hangs.failed(error);
    this.onFault(operation);
  }

  /** Not supported: the store is shared. */
  clear(): Promise<void> {
    return Promise.reject(new Error('clearing the shared store is not supported'));
  }
}
