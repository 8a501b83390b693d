import { type DynamicModule, Module } from '@nestjs/common';
import { APP_FILTER } from '@nestjs/core';
import { LoggerModule } from 'nestjs-pino';
import type { Logger } from 'pino';
import { BudgetModule } from './budget/budget.module.ts';
import { CallersModule } from './callers/callers.module.ts';
import type { Settings } from './config/settings.ts';
import { ConsoleModule } from './console/console.module.ts';
import { EnvelopeFilter } from './errors/envelope.filter.ts';
import { EventsModule } from './events/events.module.ts';
import { HealthModule } from './health/health.module.ts';
import { JobsModule } from './jobs/jobs.module.ts';
import type { Lifecycle } from './lifecycle.ts';
import { Metrics } from './metrics/metrics.ts';
import { MetricsModule } from './metrics/metrics.module.ts';
import { observe } from './observe.ts';
import { observeBudget } from './observe-budget.ts';
import { OpenApiModule } from './openapi/openapi.module.ts';
import { REPLICAS, SHARED_COPIES, StoreModule } from './store/store.module.ts';
import type { Tracing } from './tracing/tracing.ts';
import { UpstreamModule } from './upstream/upstream.module.ts';

export interface AppOptions {
  readonly settings: Settings;
  readonly log: Logger;
  readonly lifecycle: Lifecycle;
  readonly metrics: Metrics;
  /** Absent: nothing is traced. */
  readonly tracing?: Tracing | undefined;
}

/** Which rooms there are, and who is told what goes on in them. */
@Module({})
export class AppModule {
  static register({ settings, log, lifecycle, metrics, tracing }: AppOptions): DynamicModule {
    const lifetimes = {
      finishedMs: settings.TERMINAL_TTL,
      activeMs: settings.ACTIVE_FRESH,
      staleMs: settings.ACTIVE_STALE,
      missingMs: settings.NEGATIVE_TTL,
    };
    const observer = observe(metrics, log);
    const store = StoreModule.register({ settings, lifetimes, log, onFault: observer.storeFailed });
    const budget = BudgetModule.register({
      settings,
      store,
      onFault: observer.storeFailed,
      onMode: observer.budgetMode,
      observer: observeBudget(log),
    });
    const upstream = UpstreamModule.register({
      settings,
      lifetimes,
      store,
      sharedCopies: SHARED_COPIES,
      replicas: REPLICAS,
      budget,
      observer,
      tracing,
    });
    const callers = CallersModule.register(settings, log);
    return {
      module: AppModule,
      imports: [
        // Its middleware would cost every request a logger of its own; what is logged of a read is logged once, at its end.
        LoggerModule.forRoot({ pinoHttp: { logger: frameworkLog(log) }, forRoutes: [] }),
        MetricsModule.register(metrics),
        callers,
        store,
        budget,
        upstream,
        JobsModule.register(settings, [callers, upstream, budget]),
        EventsModule.register(settings, [callers, upstream]),
        HealthModule.register(settings, lifecycle, [upstream, budget, store]),
        OpenApiModule.register(),
        ConsoleModule.register({ settings, lifecycle, metrics }, [callers, upstream, budget, store]),
      ],
      providers: [{ provide: APP_FILTER, useFactory: () => new EnvelopeFilter(log) }],
    };
  }
}

/** Nest tells of each route and module at info: that is of interest only to whoever asks for more. */
function frameworkLog(log: Logger): Logger {
  return log.level === 'info' ? log.child({}, { level: 'warn' }) : log;
}
