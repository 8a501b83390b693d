import type { GatewayError } from '../errors/gateway-error.ts';

/** How a read with a lease ended. `free`: without an answer for the others. */
export type SharedReadOutcome =
  /**
   * `missing`: there is no such job; that may be stored for no time at all. `etag`: the document of a finished job that
   * was stored; absent from gateways that do not send it.
   */
  | {
      readonly kind: 'stored';
      readonly finished: boolean;
      readonly missing: boolean;
      readonly etag?: string | undefined;
    }
  | { readonly kind: 'failed'; readonly error: GatewayError }
  | { readonly kind: 'free' };

/** The right to read one job for all replicas. It expires by itself when its holder dies. */
export interface Lease {
  /** The call has been sent: patience stops at the other replicas too. */
  sent(): void;
  /** The call has failed, and the read is queued for another. */
  queued(): void;
  /** Ends the lease and tells the others. Never rejects; resolves when they have been told, or cannot be. */
  release(outcome: SharedReadOutcome): Promise<void>;
}

export type Claim =
  | { readonly kind: 'lease'; readonly lease: Lease }
  /** Another replica has it. */
  | {
      readonly kind: 'taken';
      /** Identifies the holder's read. */
      readonly holder: string;
      /** Whether its call has been sent. */
      readonly sent: boolean;
      /** How long the lease lasts unless it is renewed, in milliseconds. */
      readonly endsInMs: number;
      /** In how many milliseconds the holder expects its call to be sent. */
      readonly expectedMs: number;
    }
  /** The store does not answer. */
  | { readonly kind: 'unknown' };

/** Messages about one job since listening began. */
export interface LeaseEvents {
  /** Whether the job was announced as finished. */
  readonly finished: boolean;
  /** Whether no message can have been missed. A wait for an outcome ends early when that changes. */
  readonly isComplete: boolean;
  /**
   * Resolves with the outcome of another replica's read, or with undefined when none came in time.
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

/** One read of a job at a time across replicas: a lease for each job, and messages about its progress. */
export interface Leases {
  /**
   * Never rejects.
   * @param expectedMs in how many milliseconds the call would be sent from here, for the others to know
   * @param replaced a holder whose lease is not credible any more: it is taken over
   */
  claim(jobId: string, expectedMs: number, replaced?: string): Promise<Claim>;
  listen(jobId: string): LeaseEvents;
  /** Tells the others of a read that had no lease. Never rejects. */
  announce(jobId: string, outcome: SharedReadOutcome): Promise<void>;
}
