import { randomBytes } from 'node:crypto';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { type Clock, systemClock } from '../clock.ts';
import { CallerGone } from '../errors/caller-gone.ts';
import type { Claim, Lease, Leases, LeaseEvents, SharedReadOutcome } from '../upstream/leases.ts';
import type { Announcer } from './announcer.ts';
import { CLAIM, PROLONG, RELEASE } from './lease-scripts.ts';
import type { SharedReadMessage } from './replica-messages.ts';
import type { InvalidValue } from './invalid-value-log.ts';

/** How long a lease lives without being prolonged, in milliseconds: what the death of its holder costs the others. */
const LEASE_MS = 2000;
const PROLONG_EVERY_MS = 500;

/** No call is expected later, in milliseconds: what a lease says beyond that is of no use to anybody. */
const LATEST_EXPECTED_MS = 86_400_000;

/** More notices are not kept for a read that has not come to wait for them. */
const MOST_HEARD = 100;

/** What `CLAIM` answers. */
const spoilt = z.literal([0, 1]);
const claimed = z.union([
  z.tuple([spoilt]),
  z.tuple([spoilt, z.string(), z.string(), z.number(), z.number()]),
]);

/** What a lease says of its holder's read. */
const SENT = 'sent';
const WAITING = 'waiting';

/** Where the lease of a job is, while some replica reads it. */
export function leaseKey(keyPrefix: string, jobId: string): string {
  return `${keyPrefix}lease:${jobId}`;
}

type Client = Pick<Redis, 'eval'>;

export interface RedisLeasesOptions {
  readonly redis: Client;
  readonly keyPrefix: string;
  readonly announcer: Pick<Announcer, 'announce'>;
  readonly onFault: (operation: 'lease', error: unknown) => void;
  readonly onSpoilt: (what: InvalidValue) => void;
  /** Since when no notice can have been missed, on `clock`; Infinity while some may be. */
  readonly announcedSince: () => number;
  /** Told when Redis has answered. */
  readonly onAnswered: () => void;
  readonly clock?: Clock;
}

/** Leases in Redis, with notices over its channel. A fault of the store is a lease that nobody has. */
export class RedisLeases implements Leases {
  readonly #options: RedisLeasesOptions;
  readonly #clock: Clock;
  readonly #listeners = new Map<string, Set<(said: SharedReadMessage | 'interrupt') => void>>();

  constructor(options: RedisLeasesOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  async claim(jobId: string, expectedMs: number, replaced = ''): Promise<Claim> {
    const mine = randomBytes(9).toString('base64url');
    const soonMs = Math.min(Math.max(0, Math.ceil(expectedMs)), LATEST_EXPECTED_MS);
    const life = [LEASE_MS, soonMs, LATEST_EXPECTED_MS];
    try {
      const found = await this.#options.redis.eval(CLAIM, 1, this.#key(jobId), mine, ...life, replaced);
      this.#options.onAnswered();
      const [isSpoilt, holder, phase, endsInMs = 1, expected = 0] = claimed.parse(found);
      if (isSpoilt === 1 || (replaced !== '' && holder === undefined)) this.#options.onSpoilt('lease');
      if (holder === undefined) return { kind: 'lease', lease: this.#lease(jobId, mine) };
      return {
        kind: 'taken',
        holder,
        sent: phase === SENT,
        endsInMs: Math.min(LEASE_MS, Math.max(1, endsInMs)),
        expectedMs: Math.min(LATEST_EXPECTED_MS, Math.max(0, expected)),
      };
    } catch (error) {
      this.#options.onFault('lease', error);
      return { kind: 'unknown' };
    }
  }

  /** Word has come from a replica. */
  heard(jobId: string, said: SharedReadMessage): void {
    for (const listener of this.#listeners.get(jobId) ?? []) listener(said);
  }

  /** Notices may be missed from now on: nobody waits for one any longer. */
  interrupt(): void {
    for (const listeners of this.#listeners.values()) for (const listener of listeners) listener('interrupt');
  }

  listen(jobId: string): LeaseEvents {
    const heard: (SharedReadMessage | 'interrupt')[] = [];
    const listensSince = this.#clock.now();
    const { announcedSince } = this.#options;
    let finished = false;
    let wake = (): void => undefined;
    const listener = (said: SharedReadMessage | 'interrupt'): void => {
      if (heard.length < MOST_HEARD) heard.push(said);
      finished ||= said !== 'interrupt' && said.kind === 'stored' && said.finished;
      wake();
    };
    const listeners = this.#listeners.get(jobId) ?? new Set();
    this.#listeners.set(jobId, listeners.add(listener));
    return {
      get finished() {
        return finished;
      },
      get isComplete() {
        return announcedSince() <= listensSince;
      },
      outcome: ({ withinMs, signal, onSent, onQueued }) =>
        new Promise((resolve, reject) => {
          const ended = (outcome: SharedReadOutcome | undefined): void => {
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
              if (said === 'interrupt') ended(undefined);
              else if (said.kind === 'sent') onSent();
              else if (said.kind === 'waiting') onQueued();
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
        void this.announce(jobId, { kind: 'sent' });
      },
      queued: () => {
        prolong(WAITING);
        void this.announce(jobId, { kind: 'waiting' });
      },
      release: async (outcome) => {
        cancel();
        this.#try(() => this.#options.redis.eval(RELEASE, 1, this.#key(jobId), mine));
        await this.announce(jobId, outcome);
      },
    };
  }

  async announce(jobId: string, said: SharedReadMessage): Promise<void> {
    await this.#options.announcer.announce(jobId, said);
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
