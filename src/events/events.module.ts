import { type BeforeApplicationShutdown, type DynamicModule, Inject, Module } from '@nestjs/common';
import { AUTHENTICATOR } from '../callers/caller.guard.ts';
import type { Authenticator } from '../callers/caller.ts';
import type { Settings } from '../config/settings.ts';
import { JobReads } from '../upstream/job-reads.ts';
import { EventsController } from './events.controller.ts';
import { Streams } from './streams.ts';
import { Watches } from './watches.ts';

@Module({})
export class EventsModule implements BeforeApplicationShutdown {
  constructor(@Inject(Streams) private readonly streams: Streams) {}

  static register(settings: Settings, imports: DynamicModule[]): DynamicModule {
    return {
      module: EventsModule,
      imports,
      controllers: [EventsController],
      providers: [
        {
          provide: Streams,
          useFactory: (reads: JobReads, authenticator: Authenticator) =>
            new Streams(new Watches(reads, settings.ACTIVE_FRESH), authenticator, {
              perCaller: settings.CALLER_STREAMS,
              inAll: Math.ceil(settings.MAX_CONNECTIONS / 2),
            }),
          inject: [JobReads, AUTHENTICATOR],
        },
      ],
      exports: [Streams],
    };
  }

  /** Before the server waits for its connections to end. */
  beforeApplicationShutdown(): void {
    this.streams.closeAll();
  }
}
