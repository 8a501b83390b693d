import type { HttpService } from '@nestjs/axios';
import type { Budget } from '../budget/budget.ts';
import type { Settings } from '../config/settings.ts';
import type { Observer } from '../observe.ts';
import type { Tracing } from '../tracing/tracing.ts';
import { ClientSecret } from '../upstream/client-secret.ts';
import { Copies } from '../upstream/copies.ts';
import { stack } from '../upstream/exchange.ts';
import type { Lifetimes } from '../upstream/freshness.ts';
import { JobReads } from '../upstream/job-reads.ts';
import { authorize } from '../upstream/layers/authorize.ts';
import { authorizeJob } from '../upstream/layers/authorize-job.ts';
import { Circuit } from '../upstream/layers/circuit.ts';
import { coalesce } from '../upstream/layers/coalesce.ts';
import { JobFailures } from '../upstream/layers/job-failures.ts';
import { lease } from '../upstream/layers/lease.ts';
import { refresh } from '../upstream/layers/refresh.ts';
import { retry } from '../upstream/layers/retry.ts';
import { Throttle } from '../upstream/layers/throttle.ts';
import { traceCalls, tracePolls, traceTokens, traceWaits } from '../upstream/layers/trace.ts';
import { writeThrough } from '../upstream/layers/write-through.ts';
import { requestToken } from '../upstream/token-endpoint.ts';
import { TokenSource } from '../upstream/token-source.ts';
import { transport } from '../upstream/transport.ts';
import type { Store } from './store.ts';

export interface UpstreamOptions {
  readonly settings: Settings;
  readonly lifetimes: Lifetimes;
  readonly http: HttpService;
  readonly budget: Budget;
  readonly store: Store | undefined;
  readonly observer: Observer;
  /** Absent: nothing is traced. */
  readonly tracing: Tracing | undefined;
}

/** Reads of jobs, and the parts of their path whose state is shown. */
export interface Upstream {
  readonly reads: JobReads;
  readonly throttle: Throttle;
  readonly circuit: Circuit;
  readonly tokens: TokenSource;
  /** Ends the watch of the client secret, and the slot that stands ready. */
  end(): void;
}

export function createUpstream(options: UpstreamOptions): Upstream {
  const { settings, http, budget, observer } = options;
  const { tokens, end: endTokens } = createTokens(options);
  const circuit = new Circuit(observer, budget);
  const throttle = new Throttle(budget, {
    concurrency: settings.UPSTREAM_CONCURRENCY,
    queueLimit: settings.QUEUE_LIMIT,
    callerLimit: settings.CALLER_QUEUE ?? settings.QUEUE_LIMIT,
    callMs: longestCallMs(settings),
    ready: async () => {
      await circuit.admit();
      await tokens.ready();
    },
    onSlot: (waitedMs) => {
      observer.slotFound(waitedMs);
    },
  });
  const send = transport(http, {
    apiUrl: settings.ITWIN_API_URL,
    timeoutMs: settings.UPSTREAM_TIMEOUT,
    onCall: observer.called,
    onBroken: observer.callBroken,
  });
  const reads = createReads(options, { send, tokens, circuit, throttle });
  const end = (): void => {
    endTokens();
    throttle.end();
  };
  return { reads, throttle, circuit, tokens, end };
}

/** A token request and the call itself, or a call and its retry, each bounded on its own, and a moment. */
function longestCallMs({ UPSTREAM_TIMEOUT }: Settings): number {
  return 2 * UPSTREAM_TIMEOUT + 1000;
}

/** The layers that have state of their own, and the call at their end. */
interface Parts extends Pick<Upstream, 'tokens' | 'circuit' | 'throttle'> {
  readonly send: ReturnType<typeof transport>;
}

/**
 * The path of a read, outermost layer first:
 *
 *     caller ─ authorizeJob            may the caller see the job?
 *            ─ refresh                 a copy (memory, then Redis), fresh or stale, or a call upstream
 *            ─ coalesce                one shared read for all callers of this process
 *            ─ failures.failFast       is the job paused?
 *            ─ lease                   one shared read for all replicas
 *            ─ writeThrough            stores the result in memory and Redis
 *            ─ failures.recordOutcome  pauses a job that fails
 *            ─ retry                   repeats a call that may succeed the second time
 *            ─ circuit.failFast        is the circuit closed?
 *            ─ throttle                queue and budget
 *            ─ circuit.recordOutcome   opens the circuit when upstream fails for all jobs
 *            ─ authorize               bearer token; judges a 401
 *            ─ transport               HTTP, parse ─ iTwin
 *
 * A fresh copy in memory is answered before all that (`JobReads.peekFresh`). With tracing, polls are traced around
 * `authorizeJob`, waits around `throttle` and calls around `transport`.
 */
function createReads(options: UpstreamOptions, { send, tokens, circuit, throttle }: Parts): JobReads {
  const { settings, lifetimes, store, observer, tracing } = options;
  const replicas = store?.replicas;
  const copies = new Copies({
    lifetimes,
    maxBytes: settings.MEMORY_CACHE_SIZE,
    shared: store?.copies,
    onReadElsewhere: replicas?.onRead,
    announcedSince: replicas?.announcedSince,
    onForgotten: replicas?.onForgotten,
  });
  const policy = refresh({
    copies,
    lifetimes,
    waitMs: settings.REFRESH_WAIT,
    patienceMs: settings.PATIENCE,
  });
  const longestSentMs = longestCallMs(settings);
  const common = replicas ? [lease({ copies, lifetimes, leases: replicas.leases, longestSentMs })] : [];
  const queue = tracing ? [traceWaits, throttle.layer] : [throttle.layer];
  const failures = new JobFailures(settings.LONGEST_CLOSING, observer.pauseCut);
  replicas?.onFailed((jobId, error) => {
    failures.recordFailureElsewhere(jobId, error);
  });
  replicas?.onRead((jobId) => {
    failures.recordSuccess(jobId);
  });
  const shared = [...common, writeThrough(copies), failures.recordOutcome, retry()];
  const inner = [failures.failFast, ...shared, circuit.failFast, ...queue, circuit.recordOutcome];
  const sent = tracing ? traceCalls(settings.ITWIN_API_URL, send) : send;
  const whole = authorizeJob(policy(coalesce(stack(inner, authorize(tokens, sent)))));
  const exchange = tracing ? tracePolls(tracing)(whole) : whole;
  return new JobReads(exchange, copies, lifetimes, settings.PATIENCE);
}

function createTokens({
  settings,
  http,
  observer,
  tracing,
}: UpstreamOptions): Pick<Upstream, 'tokens' | 'end'> {
  const secret = new ClientSecret(settings.ITWIN_CLIENT_SECRET, settings.files.ITWIN_CLIENT_SECRET);
  const options = {
    url: settings.ITWIN_TOKEN_URL,
    clientId: settings.ITWIN_CLIENT_ID,
    clientAuth: settings.ITWIN_CLIENT_AUTH,
    scope: settings.ITWIN_SCOPE,
    timeoutMs: settings.UPSTREAM_TIMEOUT,
  };
  const request = async () => requestToken(http, { ...options, clientSecret: await secret.read() });
  const traced = tracing ? traceTokens(tracing, options.url, request) : request;
  const tokens = new TokenSource({ request: traced, observer, longestPauseMs: settings.LONGEST_CLOSING });
  const end = secret.watch(() => {
    observer.secretChanged();
    tokens.renew();
  });
  return { tokens, end };
}
