import type { RetryAfterForm } from './documented-errors.ts';
import type { StatusFault } from './faults.ts';
import type { UnknownJobs } from './jobs.ts';
import type { Limit, WindowKind } from './limiters.ts';

/** Milliseconds before an answer: always the same, or evenly distributed from the first to the second. */
export type Latency = number | readonly [number, number];

/** What goes wrong with every token request until it is set to null. */
export type TokenFault =
  | StatusFault
  /** Never answers. */
  | { readonly kind: 'hang' }
  /** A TCP reset. */
  | { readonly kind: 'reset' }
  /** A 200 that is not JSON. */
  | { readonly kind: 'malformed' }
  /** The connection is closed without an answer. */
  | { readonly kind: 'refuse' };

/** All can be changed while the fake upstream runs. */
export interface FakeUpstreamSettings {
  clientId: string;
  clientSecret: string;
  /** Of tokens issued from now on. */
  tokenLifetimeSeconds: number;
  tokenLatencyMs: Latency;
  /** For so many milliseconds after its issue the API does not know a token. */
  tokenLagMs: number;
  tokenFault: TokenFault | null;
  /** All hold at once; a change of them, or of the kind of window, starts with empty windows. None: no limit. */
  limits: readonly Limit[];
  windowKind: WindowKind;
  retryAfterForm: RetryAfterForm;
  /** Of job requests that are admitted. The answer is as of the request's arrival. */
  latencyMs: Latency;
  unknownJobs: UnknownJobs;
  /** Each answer with a job says when it was made: `stampedMs`, milliseconds since 1970. */
  stamped: boolean;
}

export const DEFAULT_SETTINGS: Readonly<FakeUpstreamSettings> = {
  clientId: 'demo-client',
  clientSecret: 'demo-secret',
  tokenLifetimeSeconds: 3600,
  tokenLatencyMs: 0,
  tokenLagMs: 0,
  tokenFault: null,
  limits: [],
  windowKind: 'sliding',
  retryAfterForm: 'seconds',
  latencyMs: 0,
  unknownJobs: 'not-found',
  stamped: false,
};

/** One latency out of those possible, in milliseconds. */
export function draw(latency: Latency): number {
  if (typeof latency === 'number') return latency;
  const [least, most] = latency;
  return least + Math.random() * (most - least);
}
