import { CallerGone } from '../../src/errors/caller-gone.ts';
import type { Claim, Lease, Leases, LeaseEvents, SharedReadOutcome } from '../../src/upstream/leases.ts';
import type { VirtualClock } from './virtual-clock.ts';

/** Lifetime of a lease that is not extended, in milliseconds. */
export const LEASE_MS = 2000;

type Word = SharedReadOutcome | { readonly kind: 'sent' } | { readonly kind: 'waiting' };

interface HeldLease {
  readonly holder: string;
  readonly replica: Replica;
  sent: boolean;
  readonly expectedAt: number;
  endsAt: number;
}

/** Leases of several replicas in virtual time. Living holders extend theirs; messages arrive at once unless lost. */
export class MemoryLeases {
  readonly clock: VirtualClock;
  readonly held = new Map<string, HeldLease>();
  readonly listeners = new Map<string, Set<(word: Word) => void>>();
  /** All messages are lost. */
  deaf = false;
  /** Replicas know that messages may be missed. */
  missesWords = false;
  /** The store does not answer. */
  isDown = false;
  holders = 0;

  constructor(clock: VirtualClock) {
    this.clock = clock;
  }

  replica(): Replica {
    return new Replica(this);
  }

  say(jobId: string, word: Word): void {
    if (this.deaf) return;
    for (const listener of [...(this.listeners.get(jobId) ?? [])]) listener(word);
  }
}

/** The leases of one replica. */
export class Replica implements Leases {
  isAlive = true;
  readonly #all: MemoryLeases;

  constructor(all: MemoryLeases) {
    this.#all = all;
  }

  async claim(jobId: string, expectedMs: number, replaced?: string): Promise<Claim> {
    const { clock, held, isDown } = this.#all;
    if (isDown) return { kind: 'unknown' };
    const other = held.get(jobId);
    if (other?.replica.isAlive) other.endsAt = clock.now() + LEASE_MS;
    if (other && other.endsAt > clock.now() && other.holder !== replaced) {
      const { holder, sent, endsAt, expectedAt } = other;
      return {
        kind: 'taken',
        holder,
        sent,
        endsInMs: endsAt - clock.now(),
        expectedMs: Math.max(0, expectedAt - clock.now()),
      };
    }
    const own = {
      holder: `flight ${++this.#all.holders}`,
      replica: this,
      sent: false,
      expectedAt: clock.now() + expectedMs,
      endsAt: clock.now() + LEASE_MS,
    };
    held.set(jobId, own);
    return { kind: 'lease', lease: this.#lease(jobId, own) };
  }

  async announce(jobId: string, outcome: SharedReadOutcome): Promise<void> {
    this.#all.say(jobId, outcome);
  }

  listen(jobId: string): LeaseEvents {
    const all = this.#all;
    const { clock, listeners } = all;
    const heard: Word[] = [];
    let wake = (): void => undefined;
    let finished = false;
    const listener = (word: Word): void => {
      heard.push(word);
      finished ||= word.kind === 'stored' && word.finished;
      wake();
    };
    listeners.set(jobId, (listeners.get(jobId) ?? new Set()).add(listener));
    return {
      get finished() {
        return finished;
      },
      get isComplete() {
        return !all.missesWords;
      },
      outcome: ({ withinMs, signal, onSent, onQueued }) => {
        const { promise, resolve, reject } = Promise.withResolvers<SharedReadOutcome | undefined>();
        const cancel = clock.after(withinMs, () => resolve(undefined));
        signal.addEventListener('abort', () => reject(new CallerGone()), { once: true });
        wake = () => {
          for (const word of heard.splice(0)) {
            if (word.kind === 'sent') onSent();
            else if (word.kind === 'waiting') onQueued();
            else resolve(word);
          }
        };
        wake();
        return promise.finally(cancel);
      },
      end: () => void listeners.get(jobId)?.delete(listener),
    };
  }

  #lease(jobId: string, own: HeldLease): Lease {
    return {
      sent: () => {
        own.sent = true;
        this.#all.say(jobId, { kind: 'sent' });
      },
      queued: () => {
        own.sent = false;
        this.#all.say(jobId, { kind: 'waiting' });
      },
      release: async (outcome) => {
        if (this.#all.held.get(jobId) === own) this.#all.held.delete(jobId);
        this.#all.say(jobId, outcome);
      },
    };
  }
}
