import type { BeforeApplicationShutdown, OnApplicationShutdown, OnModuleInit } from '@nestjs/common';
import { type DynamicModule, Module } from '@nestjs/common';
import { APP_FILTER } from '@nestjs/core';
import { TerminusModule } from '@nestjs/terminus';
import { Authenticator } from './callers/caller.ts';
import type { Gateway, GatewayOptions } from './composition/gateway.ts';
import { ConsoleController } from './console/console.controller.ts';
import { ConsolePage } from './console/console-page.ts';
import { StateStreams } from './console/state-streams.ts';
import { EnvelopeFilter } from './errors/envelope.filter.ts';
import { EventsController } from './events/events.controller.ts';
import { Streams } from './events/streams.ts';
import { HealthController } from './health/health.controller.ts';
import { JobResponder } from './jobs/job-responder.ts';
import { JobsController } from './jobs/jobs.controller.ts';
import { Metrics } from './metrics/metrics.ts';
import { MetricsController } from './metrics/metrics.controller.ts';
import { DocsPage } from './openapi/docs-page.ts';
import { OpenApiController } from './openapi/openapi.controller.ts';
import { GatewayStatus } from './status.ts';
import { JobReads } from './upstream/job-reads.ts';

/** The rim: controllers, and the finished objects that they are handed. */
@Module({})
export class AppModule {
  static register(gateway: Gateway, { metrics, log }: GatewayOptions): DynamicModule {
    return {
      module: AppModule,
      imports: [TerminusModule.forRoot({ logger: false })],
      controllers: [
        ...[JobsController, EventsController, HealthController, MetricsController],
        ...[OpenApiController, ConsoleController],
      ],
      providers: [
        { provide: Authenticator, useValue: gateway.authenticator },
        { provide: JobReads, useValue: gateway.reads },
        { provide: JobResponder, useValue: gateway.responder },
        { provide: Streams, useValue: gateway.streams },
        { provide: StateStreams, useValue: gateway.stateStreams },
        { provide: GatewayStatus, useValue: gateway.status },
        { provide: Metrics, useValue: metrics },
        { provide: ConsolePage, useValue: gateway.consolePage },
        { provide: DocsPage, useValue: gateway.docsPage },
        { provide: GatewayHooks, useValue: new GatewayHooks(gateway) },
        { provide: APP_FILTER, useValue: new EnvelopeFilter(log) },
      ],
    };
  }
}

/** The gateway starts and ends with Nest's application. */
class GatewayHooks implements OnModuleInit, BeforeApplicationShutdown, OnApplicationShutdown {
  constructor(private readonly gateway: Gateway) {}

  onModuleInit(): Promise<void> {
    return this.gateway.ready();
  }

  /** Comes before the server closes. */
  beforeApplicationShutdown(): void {
    this.gateway.endStreams();
  }

  onApplicationShutdown(): Promise<void> {
    return this.gateway.end();
  }
}
