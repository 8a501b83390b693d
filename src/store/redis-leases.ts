import { randomBytes } from 'node:crypto';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { type Clock, systemClock } from '../clock.ts';
import { CallerGone } from '../errors/caller-gone.ts';
import type { Claim, Lease, Leases, LeaseEvents, SharedReadOutcome } from '../upstream/leases.ts';
import type { Announcer } from './announcer.ts';
import { CLAIM, EXTEND, RELEASE } from './lease-scripts.ts';
import type { SharedReadMessage } from './replica-messages.ts';
import type { InvalidValue } from './invalid-value-log.ts';

/** Lifetime of a lease, in milliseconds: how long the others wait when its holder dies. */
const LEASE_MS = 2000;
const EXTEND_INTERVAL_MS = 500;

/** Upper bound for the expected time of a call, in milliseconds. */
const MAX_EXPECTED_MS = 86_400_000;

/** Most messages buffered for a read that is not waiting for them yet. */
const MAX_BUFFERED = 100;

/** Reply of `CLAIM`. */
const invalidFlag = z.literal([0, 1]);
const claimReply = z.union([
  z.tuple([invalidFlag]),
  z.tuple([invalidFlag, z.string(), z.string(), z.number(), z.number()]),
]);

/** Phases of the holder's read. */
const SENT = 'sent';
const WAITING = 'waiting';

/** Key of a job's lease, which exists while a replica reads the job. */
export function leaseKey(keyPrefix: string, jobId: string): string {
  return `${keyPrefix}lease:${jobId}`;
}

type Client = Pick<Redis, 'eval'>;

export interface RedisLeasesOptions {
  readonly redis: Client;
  readonly keyPrefix: string;
  readonly announcer: Pick<Announcer, 'announce'>;
  readonly onFault: (operation: 'lease', error: unknown) => void;
  readonly onInvalidValue: (what: InvalidValue) => void;
  /** Since when no message can have been missed, on `clock`; Infinity while some may be. */
  readonly announcedSince: () => number;
  /** Redis has answered. */
  readonly onAnswered: () => void;
  readonly clock?: Clock;
}

/** Leases in Redis, with messages over pub/sub. An error of the store is a claim with the result `unknown`. */
export class RedisLeases implements Leases {
  readonly #options: RedisLeasesOptions;
  readonly #clock: Clock;
  readonly #listeners = new Map<string, Set<(message: SharedReadMessage | 'interrupt') => void>>();

  constructor(options: RedisLeasesOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  async claim(jobId: string, expectedMs: number, replaced = ''): Promise<Claim> {
    const holderId = randomBytes(9).toString('base64url');
    const boundedMs = Math.min(Math.max(0, Math.ceil(expectedMs)), MAX_EXPECTED_MS);
    const life = [LEASE_MS, boundedMs, MAX_EXPECTED_MS];
    try {
      const reply = await this.#options.redis.eval(CLAIM, 1, this.#key(jobId), holderId, ...life, replaced);
      this.#options.onAnswered();
      const [isInvalid, holder, phase, endsInMs = 1, expected = 0] = claimReply.parse(reply);
      if (isInvalid === 1 || (replaced !== '' && holder === undefined)) this.#options.onInvalidValue('lease');
      if (holder === undefined) return { kind: 'lease', lease: this.#lease(jobId, holderId) };
      return {
        kind: 'taken',
        holder,
        sent: phase === SENT,
        endsInMs: Math.min(LEASE_MS, Math.max(1, endsInMs)),
        expectedMs: Math.min(MAX_EXPECTED_MS, Math.max(0, expected)),
      };
    } catch (error) {
      this.#options.onFault('lease', error);
      return { kind: 'unknown' };
    }
  }

  /** Delivers a message of another replica to the listeners of its job. */
  receive(jobId: string, message: SharedReadMessage): void {
    for (const listener of this.#listeners.get(jobId) ?? []) listener(message);
  }

  /** Messages may be missed from now on: ends all waits for one. */
  interrupt(): void {
    for (const listeners of this.#listeners.values()) for (const listener of listeners) listener('interrupt');
  }

  listen(jobId: string): LeaseEvents {
    const buffered: (SharedReadMessage | 'interrupt')[] = [];
    const listeningSince = this.#clock.now();
    const { announcedSince } = this.#options;
    let finished = false;
    let drain = (): void => undefined;
    const listener = (message: SharedReadMessage | 'interrupt'): void => {
      if (buffered.length < MAX_BUFFERED) buffered.push(message);
      finished ||= message !== 'interrupt' && message.kind === 'stored' && message.finished;
      drain();
    };
    const listeners = this.#listeners.get(jobId) ?? new Set();
    this.#listeners.set(jobId, listeners.add(listener));
    return {
      get finished() {
        return finished;
      },
      get isComplete() {
        return announcedSince() <= listeningSince;
      },
      outcome: ({ withinMs, signal, onSent, onQueued }) =>
        new Promise((resolve, reject) => {
          const end = (outcome: SharedReadOutcome | undefined): void => {
            cancel();
            signal.removeEventListener('abort', onAbort);
            resolve(outcome);
          };
          const cancel = this.#clock.after(withinMs, () => {
            end(undefined);
          });
          const onAbort = (): void => {
            cancel();
            reject(new CallerGone());
          };
          signal.addEventListener('abort', onAbort, { once: true });
          drain = () => {
            for (const message of buffered.splice(0)) {
              if (message === 'interrupt') end(undefined);
              else if (message.kind === 'sent') onSent();
              else if (message.kind === 'waiting') onQueued();
              else end(message);
            }
          };
          if (signal.aborted) onAbort();
          else drain();
        }),
      end: () => {
        listeners.delete(listener);
        if (listeners.size === 0) this.#listeners.delete(jobId);
      },
    };
  }

  #lease(jobId: string, holderId: string): Lease {
    const extend = (phase = ''): void => {
      this.#runInBackground(() =>
        this.#options.redis.eval(EXTEND, 1, this.#key(jobId), holderId, LEASE_MS, phase),
      );
    };
    const keepAlive = (): void => {
      extend();
      cancel = this.#clock.after(EXTEND_INTERVAL_MS, keepAlive);
    };
    let cancel = this.#clock.after(EXTEND_INTERVAL_MS, keepAlive);
    return {
      sent: () => {
        extend(SENT);
        void this.announce(jobId, { kind: 'sent' });
      },
      queued: () => {
        extend(WAITING);
        void this.announce(jobId, { kind: 'waiting' });
      },
      release: async (outcome) => {
        cancel();
        this.#runInBackground(() => this.#options.redis.eval(RELEASE, 1, this.#key(jobId), holderId));
        await this.announce(jobId, outcome);
      },
    };
  }

  async announce(jobId: string, message: SharedReadMessage): Promise<void> {
    await this.#options.announcer.announce(jobId, message);
  }

  #runInBackground(run: () => Promise<unknown>): void {
    run().catch((error: unknown) => {
      this.#options.onFault('lease', error);
    });
  }

  #key(jobId: string): string {
    return leaseKey(this.#options.keyPrefix, jobId);
  }
}
