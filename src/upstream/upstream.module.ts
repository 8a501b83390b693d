import { HttpModule, HttpService } from '@nestjs/axios';
import { type DynamicModule, Module, type OnModuleDestroy } from '@nestjs/common';
import { type Budget, BUDGET } from '../budget/budget.ts';
import { httpClient } from '../http/client.ts';
import type { Replicas } from '../store/replicas.ts';
import type { Settings } from '../config/settings.ts';
import type { Tracing } from '../tracing/tracing.ts';
import { ClientSecret } from './client-secret.ts';
import { Copies, type SharedCopies } from './copies.ts';
import { stack } from './exchange.ts';
import type { Lifetimes } from './freshness.ts';
import { JobReads } from './job-reads.ts';
import { authorize } from './layers/authorize.ts';
import { Circuit, type CircuitObserver } from './layers/circuit.ts';
import { coalesce } from './layers/coalesce.ts';
import { retry } from './layers/retry.ts';
import { JobFailures } from './layers/job-failures.ts';
import { writeThrough } from './layers/write-through.ts';
import { lease } from './layers/lease.ts';
import { refresh } from './layers/refresh.ts';
import { Throttle } from './layers/throttle.ts';
import { traceCalls, tracePolls, traceTokens, traceWaits } from './layers/trace.ts';
import { authorizeJob } from './layers/authorize-job.ts';
import { requestToken } from './token-endpoint.ts';
import { type TokenObserver, TokenSource } from './token-source.ts';
import { transport, type TransportOptions } from './transport.ts';

export interface UpstreamModuleOptions {
  readonly settings: Settings;
  readonly lifetimes: Lifetimes;
  /** The module and the token of the copies that all replicas share. */
  readonly store: DynamicModule;
  readonly sharedCopies: symbol;
  /** The token of what replicas have of each other. */
  readonly replicas: symbol;
  readonly budget: DynamicModule;
  readonly observer: UpstreamObserver;
  /** Absent: nothing is traced. */
  readonly tracing: Tracing | undefined;
}

/** Told of what goes on, for metrics and the log. Times in milliseconds. */
export interface UpstreamObserver extends TokenObserver, CircuitObserver {
  called: NonNullable<TransportOptions['onCall']>;
  callBroken: NonNullable<TransportOptions['onBroken']>;
  slotFound(waitedMs: number): void;
  secretChanged(): void;
  /** Upstream asked for a longer pause of a job than is granted. */
  readonly pauseCut: (saidMs: number, pauseMs: number) => void;
}

/**
 * The way of a read, outermost first:
 *
 *     caller ─ visible ─ refresh ─ coalesce ─ fail fast ─ lease ─ keep ─ record ─ retry ─ door ─ throttle ─ watch ─ authorize ─ transport ─ iTwin
 *              what it    a copy,   one        is this     one     what   does     again   is the queue,     how     bearer,     HTTP,
 *              may see    fresh,    flight     job         flight  it     this job or not  circuit budget    calls   what a 401  parse
 *                         stale or  here       paused?     of all  said   fail?            closed?           end     means
 *                         none
 *                         └─ copies: this process' memory, then Redis
 *
 * What memory holds fresh is answered before all that (`JobReads.atHand`). With tracing, what is told of stands around `visible` (polls), `throttle` (waits) and `transport` (calls).
 */
@Module({})
export class UpstreamModule {
  static register({
    settings,
    lifetimes,
    store,
    sharedCopies,
    replicas,
    budget,
    observer,
    tracing,
  }: UpstreamModuleOptions): DynamicModule {
    // A token request and the call itself, or a call and its second try, each bounded on its own, and a moment.
    const callMs = 2 * settings.UPSTREAM_TIMEOUT + 1000;
    return {
      module: UpstreamModule,
      imports: [HttpModule.register(httpClient(settings.proxy)), store, budget],
      providers: [
        {
          provide: TokenSource,
          useFactory: (http: HttpService) => tokenSource(http, settings, observer, tracing),
          inject: [HttpService],
        },
        {
          provide: Circuit,
          useFactory: (quota: Budget) => new Circuit(observer, quota),
          inject: [BUDGET],
        },
        {
          provide: Throttle,
          useFactory: (quota: Budget, circuit: Circuit, tokens: TokenSource) =>
            new Throttle(quota, {
              concurrency: settings.UPSTREAM_CONCURRENCY,
              queueLimit: settings.QUEUE_LIMIT,
              callerLimit: settings.CALLER_QUEUE ?? settings.QUEUE_LIMIT,
              callMs,
              ready: async () => {
                await circuit.admit();
                await tokens.ready();
              },
              onSlot: (waitedMs) => {
                observer.slotFound(waitedMs);
              },
            }),
          inject: [BUDGET, Circuit, TokenSource],
        },
        {
          provide: JobReads,
          useFactory: (
            http: HttpService,
            tokens: TokenSource,
            circuit: Circuit,
            throttle: Throttle,
            store?: SharedCopies,
            others?: Replicas,
          ) => {
            const send = transport(http, {
              apiUrl: settings.ITWIN_API_URL,
              timeoutMs: settings.UPSTREAM_TIMEOUT,
              onCall: observer.called,
              onBroken: observer.callBroken,
            });
            const copies = new Copies({
              lifetimes,
              maxBytes: settings.MEMORY_CACHE_SIZE,
              shared: store,
              onReadElsewhere: others?.onRead,
              announcedSince: others?.announcedSince,
              onForgotten: others?.onForgotten,
            });
            const policy = refresh({
              copies,
              lifetimes,
              waitMs: settings.REFRESH_WAIT,
              patienceMs: settings.PATIENCE,
            });
            const common = others
              ? [lease({ copies, lifetimes, leases: others.leases, longestSentMs: callMs })]
              : [];
            const queue = tracing ? [traceWaits, throttle.layer] : [throttle.layer];
            const failures = new JobFailures(settings.LONGEST_CLOSING, observer.pauseCut);
            others?.onFailed((jobId, error) => {
              failures.recordFailureElsewhere(jobId, error);
            });
            others?.onRead((jobId) => {
              failures.recordSuccess(jobId);
            });
            const shared = [...common, writeThrough(copies), failures.recordOutcome, retry()];
            const inner = [failures.failFast, ...shared, circuit.failFast, ...queue, circuit.recordOutcome];
            const sent = tracing ? traceCalls(settings.ITWIN_API_URL, send) : send;
            const whole = authorizeJob(policy(coalesce(stack(inner, authorize(tokens, sent)))));
            const exchange = tracing ? tracePolls(tracing)(whole) : whole;
            return new JobReads(exchange, copies, lifetimes, settings.PATIENCE);
          },
          inject: [
            HttpService,
            TokenSource,
            Circuit,
            Throttle,
            { token: sharedCopies, optional: true },
            { token: replicas, optional: true },
          ],
        },
      ],
      exports: [JobReads, Throttle, Circuit, TokenSource],
    };
  }
}

function tokenSource(
  http: HttpService,
  settings: Settings,
  observer: UpstreamObserver,
  tracing: Tracing | undefined,
): TokenSource & OnModuleDestroy {
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
  const onModuleDestroy = secret.watch(() => {
    observer.secretChanged();
    tokens.renew();
  });
  return Object.assign(tokens, { onModuleDestroy });
}
