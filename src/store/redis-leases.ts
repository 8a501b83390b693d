import { randomBytes } from 'node:crypto';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { type Clock, systemClock } from '../clock.ts';
import { CallerGone } from '../errors/caller-gone.ts';
import type { Claim, Lease, Leases, News, Outcome } from '../upstream/leases.ts';
import { encodeNotice, type FlightNotice } from './notices.ts';

/** How long a lease lives without being prolonged, in milliseconds: what the death of its holder costs the others. */
const LEASE_MS = 2000;
const PROLONG_EVERY_MS = 500;

/**
 * KEYS: the lease. ARGV: mine, its life in ms, in how many ms its call is expected. Nothing: it is mine; else what it says, for how
 * long, and in how many ms the other's call is expected. No lease is held longer than that life, whatever its expiry says.
 */
const CLAIM = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local held = redis.call('GET', KEYS[1])
if held then
  local left = redis.call('PTTL', KEYS[1])
  if left < 0 or left > tonumber(ARGV[2]) then
    left = tonumber(ARGV[2])
    redis.call('PEXPIRE', KEYS[1], left)
  end
  return {held, left, tonumber(string.match(held, ' (%d+)')) - now}
end
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. string.format('%d', now + ARGV[3]), 'PX', ARGV[2])
return {}`;

/** What `CLAIM` answers. */
const claimed = z.union([z.tuple([]), z.tuple([z.string(), z.number(), z.number()])]);

/** KEYS: the lease. ARGV: mine, its life in ms, its phase from now on; empty: as it is. */
const PROLONG = `
local held = redis.call('GET', KEYS[1])
if not held or string.sub(held, 1, #ARGV[1]) ~= ARGV[1] then return end
if ARGV[3] ~= '' then held = string.match(held, '^%S+ %d+') .. ' ' .. ARGV[3] end
redis.call('SET', KEYS[1], held, 'PX', ARGV[2])`;

/** KEYS: the lease. ARGV: mine. */
const RELEASE = `
local held = redis.call('GET', KEYS[1])
if held and string.sub(held, 1, #ARGV[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end`;

/** How the value of a lease ends while its call is out. */
const SENT = 'sent';
const WAITING = 'waiting';

/** Where the lease of a job is, while some replica reads it. */
export function leaseKey(keyPrefix: string, jobId: string): string {
  return `${keyPrefix}lease:${jobId}`;
}

type Client = Pick<Redis, 'eval' | 'publish'>;

export interface RedisLeasesOptions {
  readonly redis: Client;
  readonly keyPrefix: string;
  /** Where all replicas listen. */
  readonly channel: string;
  readonly onFault: (operation: 'lease', error: unknown) => void;
  /** Told when Redis has answered. */
  readonly onAnswered: () => void;
  readonly clock?: Clock;
}

/** Leases in Redis, with notices over its channel. A fault of the store is a lease that nobody has. */
export class RedisLeases implements Leases {
  readonly #options: RedisLeasesOptions;
  readonly #clock: Clock;
  readonly #listeners = new Map<string, Set<(said: FlightNotice) => void>>();

  constructor(options: RedisLeasesOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  async claim(jobId: string, expectedMs: number): Promise<Claim> {
    const mine = randomBytes(9).toString('base64url');
    try {
      const found = await this.#options.redis.eval(
        CLAIM,
        1,
        this.#key(jobId),
        mine,
        LEASE_MS,
        Math.ceil(expectedMs),
      );
      this.#options.onAnswered();
      const [held, endsInMs = 1, expected = 0] = claimed.parse(found);
      if (held === undefined) return { kind: 'lease', lease: this.#lease(jobId, mine) };
      return {
        kind: 'taken',
        sent: held.endsWith(SENT),
        endsInMs: Math.min(LEASE_MS, Math.max(1, endsInMs)),
        expectedMs: Math.max(0, expected),
      };
    } catch (error) {
      this.#options.onFault('lease', error);
      return { kind: 'unknown' };
    }
  }

  /** Word has come from a replica. */
  heard(jobId: string, said: FlightNotice): void {
    for (const listener of this.#listeners.get(jobId) ?? []) listener(said);
  }

  listen(jobId: string): News {
    const heard: FlightNotice[] = [];
    let finished = false;
    let wake = (): void => undefined;
    const listener = (said: FlightNotice): void => {
      heard.push(said);
      finished ||= said.kind === 'stored' && said.finished;
      wake();
    };
    const listeners = this.#listeners.get(jobId) ?? new Set();
    this.#listeners.set(jobId, listeners.add(listener));
    return {
      get finished() {
        return finished;
      },
      outcome: ({ withinMs, signal, onSent, onWaiting }) =>
        new Promise((resolve, reject) => {
          const ended = (outcome: Outcome | undefined): void => {
            cancel();
            signal.removeEventListener('abort', gone);
            resolve(outcome);
          };
          const cancel = this.#clock.after(withinMs, () => {
            ended(undefined);
          });
          const gone = (): void => {
            cancel();
            reject(new CallerGone());
          };
          signal.addEventListener('abort', gone, { once: true });
          wake = () => {
            for (const said of heard.splice(0)) {
              if (said.kind === 'sent') onSent();
              else if (said.kind === 'waiting') onWaiting();
              else ended(said);
            }
          };
          if (signal.aborted) gone();
          else wake();
        }),
      end: () => {
        listeners.delete(listener);
        if (listeners.size === 0) this.#listeners.delete(jobId);
      },
    };
  }

  #lease(jobId: string, mine: string): Lease {
    const prolong = (phase = ''): void => {
      this.#try(() => this.#options.redis.eval(PROLONG, 1, this.#key(jobId), mine, LEASE_MS, phase));
    };
    const again = (): void => {
      prolong();
      cancel = this.#clock.after(PROLONG_EVERY_MS, again);
    };
    let cancel = this.#clock.after(PROLONG_EVERY_MS, again);
    return {
      sent: () => {
        prolong(SENT);
        void this.tell(jobId, { kind: 'sent' });
      },
      waitsAgain: () => {
        prolong(WAITING);
        void this.tell(jobId, { kind: 'waiting' });
      },
      release: async (outcome) => {
        cancel();
        this.#try(() => this.#options.redis.eval(RELEASE, 1, this.#key(jobId), mine));
        await this.tell(jobId, outcome);
      },
    };
  }

  async tell(jobId: string, said: FlightNotice): Promise<void> {
    const { redis, channel, onFault } = this.#options;
    await redis.publish(channel, encodeNotice(jobId, said)).catch((error: unknown) => {
      onFault('lease', error);
    });
  }

  #try(run: () => Promise<unknown>): void {
    run().catch((error: unknown) => {
      this.#options.onFault('lease', error);
    });
  }

  #key(jobId: string): string {
    return leaseKey(this.#options.keyPrefix, jobId);
  }
}
