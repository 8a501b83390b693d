import { HttpService } from '@nestjs/axios';
import { create as createAxios } from 'axios';
import type { Logger } from 'pino';
import { readBuildInfo } from '../build-info.ts';
import type { Authenticator } from '../callers/caller.ts';
import type { Settings } from '../config/settings.ts';
import { ConsolePage } from '../console/console-page.ts';
import { consoleState } from '../console/console-state.ts';
import { StateStreams } from '../console/state-streams.ts';
import { Streams } from '../events/streams.ts';
import { Watches } from '../events/watches.ts';
import { httpClient } from '../http/client.ts';
import { JobResponder } from '../jobs/job-responder.ts';
import type { Lifecycle } from '../lifecycle.ts';
import type { Metrics } from '../metrics/metrics.ts';
import { observe } from '../observe.ts';
import { observeBudget } from '../observe-budget.ts';
import { DocsPage } from '../openapi/docs-page.ts';
import { GatewayStatus } from '../status.ts';
import type { Tracing } from '../tracing/tracing.ts';
import type { JobReads } from '../upstream/job-reads.ts';
import { createBudget } from './budget.ts';
import { createAuthenticator } from './callers.ts';
import { createStore } from './store.ts';
import { createUpstream } from './upstream.ts';

export interface GatewayOptions {
  readonly settings: Settings;
  readonly log: Logger;
  readonly lifecycle: Lifecycle;
  readonly metrics: Metrics;
  /** Absent: nothing is traced. */
  readonly tracing?: Tracing | undefined;
}

/** The finished objects that the HTTP server needs, and the life of all those behind them. */
export interface Gateway {
  readonly authenticator: Authenticator;
  readonly reads: JobReads;
  readonly responder: JobResponder;
  readonly streams: Streams;
  readonly stateStreams: StateStreams;
  readonly status: GatewayStatus;
  readonly consolePage: ConsolePage;
  readonly docsPage: DocsPage;
  /** Connects to what there is. Never rejects; a Redis that does not answer is not waited for. */
  ready(): Promise<void>;
  /** Ends what would keep the server from closing, which waits for every answer under way. */
  endStreams(): void;
  /** Ends the rest, once the server has closed. */
  end(): Promise<void>;
}

/** The composition root: every object is built here, or in a function beside this file that is called here. */
export async function createGateway(options: GatewayOptions): Promise<Gateway> {
  const { settings, log, lifecycle, metrics, tracing } = options;
  const lifetimes = {
    finishedMs: settings.TERMINAL_TTL,
    activeMs: settings.ACTIVE_FRESH,
    staleMs: settings.ACTIVE_STALE,
    missingMs: settings.NEGATIVE_TTL,
  };
  const build = readBuildInfo(settings.REVISION);
  metrics.showBuild(build);
  const observer = observe(metrics, log);
  const http = new HttpService(createAxios(httpClient(settings.proxy)));
  const callers = createAuthenticator(settings, http, log);
  const { authenticator } = callers;
  const store = await createStore(settings, lifetimes, log, observer.storeFailed);
  const quota = createBudget(
    {
      settings,
      onFault: observer.storeFailed,
      onMode: observer.budgetMode,
      observer: observeBudget(log),
    },
    store,
  );
  const { budget } = quota;
  const upstream = createUpstream({ settings, lifetimes, http, budget, store, observer, tracing });
  const { reads } = upstream;
  const streams = new Streams(new Watches(reads, settings.ACTIVE_FRESH), authenticator, {
    perCaller: settings.CALLER_STREAMS,
    inAll: Math.ceil(settings.MAX_CONNECTIONS / 2),
  });
  const status = new GatewayStatus({
    ...upstream,
    lifecycle,
    queueLimit: settings.QUEUE_LIMIT,
    budget,
    replicas: settings.REPLICAS,
    redis: store?.redis,
    subscription: store?.replicas.subscription,
    streams,
  });
  metrics.showStatus(() => status.read());
  const stateStreams = new StateStreams(async () =>
    JSON.stringify(await consoleState(status.read(), metrics)),
  );
  return {
    authenticator,
    reads,
    responder: new JobResponder(settings.ACTIVE_FRESH, budget),
    streams,
    stateStreams,
    status,
    consolePage: new ConsolePage(settings.AUTH !== 'off'),
    docsPage: new DocsPage(build.version),
    ready: async () => {
      await store?.ready();
      await quota.sync();
    },
    endStreams: () => {
      upstream.end();
      callers.end();
      streams.closeAll();
      stateStreams.end();
    },
    end: async () => {
      quota.end();
      await store?.end();
    },
  };
}
