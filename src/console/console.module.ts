import { type BeforeApplicationShutdown, type DynamicModule, Inject, Module } from '@nestjs/common';
import { type Budget, BUDGET } from '../budget/budget.ts';
import type { Settings } from '../config/settings.ts';
import type { Lifecycle } from '../lifecycle.ts';
import type { Metrics } from '../metrics/metrics.ts';
import type { RedisClient } from '../store/redis-topology.ts';
import { REDIS } from '../store/store.module.ts';
import { Circuit } from '../upstream/layers/circuit.ts';
import { Throttle } from '../upstream/layers/throttle.ts';
import { TokenSource } from '../upstream/token-source.ts';
import { ConsoleController, PAGE_FILES } from './console.controller.ts';
import { readState, type StateLimits, type StateSources } from './gateway-state.ts';
import { readPageFiles } from './page-files.ts';
import { StateStreams } from './state-streams.ts';

export interface ConsoleModuleOptions {
  readonly settings: Settings;
  readonly lifecycle: Lifecycle;
  readonly metrics: Metrics;
}

@Module({})
export class ConsoleModule implements BeforeApplicationShutdown {
  constructor(@Inject(StateStreams) private readonly streams: StateStreams) {}

  static register(
    { settings, lifecycle, metrics }: ConsoleModuleOptions,
    imports: DynamicModule[],
  ): DynamicModule {
    const limits: StateLimits = {
      queueLimit: settings.QUEUE_LIMIT,
      windows: settings.UPSTREAM_LIMITS,
      replicas: settings.REPLICAS,
    };
    const streams = (sources: StateSources): StateStreams =>
      new StateStreams(async () => JSON.stringify(await readState(sources, limits)));
    return {
      module: ConsoleModule,
      imports,
      controllers: [ConsoleController],
      providers: [
        { provide: PAGE_FILES, useFactory: () => readPageFiles({ asksForKey: settings.AUTH !== 'off' }) },
        {
          provide: StateStreams,
          useFactory: (
            queue: Throttle,
            budget: Budget,
            circuit: Circuit,
            tokens: TokenSource,
            redis?: RedisClient,
          ) => streams({ lifecycle, metrics, budget, queue, circuit, tokens, redis }),
          inject: [Throttle, BUDGET, Circuit, TokenSource, { token: REDIS, optional: true }],
        },
      ],
    };
  }

  /** Before the server closes, which waits for every answer under way. Until then an operator sees the drain. */
  beforeApplicationShutdown(): void {
    this.streams.end();
  }
}
