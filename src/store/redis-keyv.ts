import { EventEmitter } from 'node:events';
import type { KeyvStoreAdapter, StoredData } from 'keyv';
import type { HangDetector } from './hang-detector.ts';
import type { RedisClient } from './redis-topology.ts';

/**
 * KEYS: where. ARGV: the value, its life in ms, how a value begins that stays, whether it stays only if it lives longer. A value of
 * another type is replaced.
 */
const SET_UNLESS = `
local held = redis.pcall('GETRANGE', KEYS[1], 0, #ARGV[3] - 1)
if held == ARGV[3] and (ARGV[4] == '' or redis.call('PTTL', KEYS[1]) > tonumber(ARGV[2])) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1`;

/** What PTTL says of a key that never expires. */
const NO_EXPIRY = -1;

/** What Keyv is asked to keep. */
export interface Stored {
  readonly bytes: Buffer;
  /** A value that begins so is not replaced. */
  readonly yieldsTo?: string;
  /** It is replaced all the same unless it has longer to live, and so was made later. */
  readonly yieldsToLaterAlone?: boolean;
  /** Told when it was not replaced. */
  readonly onYield?: () => void;
  /** Milliseconds that the value has still to live, by Redis' own clock; set on the way out. Infinity: it has no expiry. */
  readonly remainingMs?: number;
}

/**
 * Keeps bytes in Redis for Keyv, over the connection that the gateway has. Redis alone judges their expiry: no clock of
 * a replica matters, and how much of its life is left comes back with the value. A fault is a miss, and counted.
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
      // Where there is no Redis but something else, it may be anything.
      if (!Buffer.isBuffer(bytes) || !Number.isFinite(ttl)) throw new Error('this is no value');
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
      if (ttl === undefined) throw new Error('nothing is kept for ever');
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

  /** The store is shared: nothing here empties it. */
  clear(): Promise<void> {
    return Promise.reject(new Error('the shared store is never emptied as a whole'));
  }
}
