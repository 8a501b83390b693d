import type { GatewayError } from '../errors/gateway-error.ts';

/** How a flight has ended. `free`: without an answer for others. */
export type SharedReadOutcome =
  /**
   * `missing`: there is no such job, which may be remembered for no time at all. `etag`: which document of a finished job
   * was stored; nothing from a gateway that does not say.
   */
  | {
      readonly kind: 'stored';
      readonly finished: boolean;
      readonly missing: boolean;
      readonly etag?: string | undefined;
    }
  | { readonly kind: 'failed'; readonly error: GatewayError }
  | { readonly kind: 'free' };

/** The right to read one job for all replicas. It runs out by itself when its holder dies. */
export interface Lease {
  /** The call has gone out: who waits elsewhere does not wait for a slot any more. */
  sent(): void;
  /** The call has failed, and the read stands in line for another. */
  queued(): void;
  /** Gives it back and tells the others. Never rejects; resolves when they have been told, or cannot be. */
  release(outcome: SharedReadOutcome): Promise<void>;
}

export type Claim =
  | { readonly kind: 'lease'; readonly lease: Lease }
  /** Another replica has it, for so many milliseconds more unless it prolongs it; whether its call has gone out. */
  | {
      readonly kind: 'taken';
      /** Names the flight that has it. */
      readonly holder: string;
      readonly sent: boolean;
      readonly endsInMs: number;
      /** In how many milliseconds it expects its call to go out. */
      readonly expectedMs: number;
    }
  /** The store does not say. */
  | { readonly kind: 'unknown' };

/** What is heard of one job, from the moment of listening on. */
export interface LeaseEvents {
  /** Whether it was heard that the job is finished. */
  readonly finished: boolean;
  /** Whether nothing has been missed since. A wait for an outcome ends early when that changes. */
  readonly isComplete: boolean;
  /**
   * Resolves with how the flight of another replica ended, or with nothing when there was no word in time.
   * @throws when the signal aborts
   */
  outcome(wait: {
    readonly withinMs: number;
    readonly signal: AbortSignal;
    readonly onSent: () => void;
    readonly onQueued: () => void;
  }): Promise<SharedReadOutcome | undefined>;
  end(): void;
}

/** One flight across replicas: a lease for each job, and word of how it went. */
export interface Leases {
  /**
   * Never rejects.
   * @param expectedMs in how many milliseconds the call would go out from here, for the others to know
   * @param replaced the holder whose lease is not believed any more: it is taken over
   */
  claim(jobId: string, expectedMs: number, replaced?: string): Promise<Claim>;
  listen(jobId: string): LeaseEvents;
  /** Lets the others know of a flight that went without a lease. Never rejects. */
  announce(jobId: string, outcome: SharedReadOutcome): Promise<void>;
}
