import type { Server } from 'node:http';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Logger as NestLogger } from 'nestjs-pino';
import type { Logger } from 'pino';
import { AppModule } from './app.module.ts';
import { type Budget, BUDGET } from './budget/budget.ts';
import { readBuildInfo } from './build-info.ts';
import { AUTHENTICATOR } from './callers/caller.guard.ts';
import type { Authenticator } from './callers/caller.ts';
import { longestReadMs, type Settings } from './config/settings.ts';
import { allowOrigins } from './http/cors.ts';
import { allowOnlyReads } from './http/method-not-allowed.ts';
import { limitConnections } from './http/connection-limit.ts';
import { addServerHooks } from './http/server-hooks.ts';
import { serverOptions } from './http/server-options.ts';
import { Streams } from './events/streams.ts';
import { serveMemoryHits } from './jobs/memory-hits.ts';
import { recordReads } from './jobs/read-record.ts';
import type { Lifecycle } from './lifecycle.ts';
import type { Metrics } from './metrics/metrics.ts';
import type { Tracing } from './tracing/tracing.ts';
import { JOBS_PATH } from './upstream/itwin-api.ts';
import { JobReads } from './upstream/job-reads.ts';
import { Throttle } from './upstream/layers/throttle.ts';

/** Where nobody is asked for a key. */
const OPEN_PATHS = [
  ...['/health/live', '/health/ready', '/metrics'],
  ...['/openapi.json', '/docs', '/docs/:file', '/console', '/console/:file'],
];

/** What is answered to callers, and the description of it: pages of other origins may read it where that is set. */
const FOR_OTHER_ORIGINS = [`${JOBS_PATH}/:id`, `${JOBS_PATH}/events`, '/openapi.json'];

/** Puts the gateway together: everything but listening. */
export async function createApp(
  settings: Settings,
  log: Logger,
  lifecycle: Lifecycle,
  metrics: Metrics,
  tracing?: Tracing,
): Promise<NestFastifyApplication> {
  metrics.showBuild(readBuildInfo(settings.REVISION));
  const adapter = new FastifyAdapter({ ...serverOptions(longestReadMs(settings)), skipMiddie: true });
  const app = await NestFactory.create<NestFastifyApplication>(
    AppModule.register({ settings, log, lifecycle, metrics, tracing }),
    adapter,
    { bodyParser: false, bufferLogs: true, abortOnError: false },
  );
  app.useLogger(app.get(NestLogger));
  const fastify = adapter.getInstance();
  addServerHooks(fastify, lifecycle);
  limitConnections(adapter.getHttpServer<Server>(), settings.MAX_CONNECTIONS, log);
  allowOrigins(fastify, {
    origins: settings.CORS_ORIGINS,
    paths: FOR_OTHER_ORIGINS,
    takesTraces: tracing !== undefined,
  });
  recordReads(fastify, metrics, log, tracing);
  const authenticator = app.get<Authenticator>(AUTHENTICATOR, { strict: false });
  serveMemoryHits(fastify, {
    authenticator,
    reads: app.get(JobReads, { strict: false }),
    activeFreshMs: settings.ACTIVE_FRESH,
  });
  const admit = (authorization: string | undefined) => authenticator.authenticate(authorization);
  for (const path of [`${JOBS_PATH}/:id`, '/console/events']) allowOnlyReads(fastify, path, admit);
  allowOnlyReads(fastify, `${JOBS_PATH}/events`, admit, 'GET');
  for (const path of OPEN_PATHS) allowOnlyReads(fastify, path);
  showGauges(metrics, {
    throttle: app.get(Throttle, { strict: false }),
    budget: app.get<Budget>(BUDGET, { strict: false }),
    streams: app.get(Streams, { strict: false }),
  });
  return app;
}

/** What the gauges are read from. */
interface Shown {
  readonly throttle: Throttle;
  readonly budget: Budget;
  readonly streams: Streams;
}

function showGauges(metrics: Metrics, { throttle, budget, streams }: Shown): void {
  metrics.show({
    queueDepth: () => throttle.depth,
    budgetRemaining: () => budget.state().windows.map(({ name, remaining }) => [name, remaining] as const),
    limitShares: () => budget.state().windows.map(({ name, share }) => [name, share] as const),
    budgetMode: () => budget.state().mode,
    watchers: () => streams.count,
    pausedSeconds: () => budget.state().closedMs / 1000,
  });
}
