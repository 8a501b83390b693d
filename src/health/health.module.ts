import { type DynamicModule, Module } from '@nestjs/common';
import { TerminusModule } from '@nestjs/terminus';
import { LocalBudget } from '../budget/local-budget.ts';
import type { Settings } from '../config/settings.ts';
import { Lifecycle } from '../lifecycle.ts';
import type { RedisClient } from '../store/redis-way.ts';
import { REDIS } from '../store/store.module.ts';
import { Throttle } from '../upstream/layers/throttle.ts';
import { TokenSource } from '../upstream/token-source.ts';
import { HealthController } from './health.controller.ts';
import { PARTS, partsOf } from './parts.ts';

@Module({})
export class HealthModule {
  static register(settings: Settings, lifecycle: Lifecycle, imports: DynamicModule[]): DynamicModule {
    return {
      module: HealthModule,
      imports: [TerminusModule.forRoot({ logger: false }), ...imports],
      controllers: [HealthController],
      providers: [
        { provide: Lifecycle, useValue: lifecycle },
        {
          provide: PARTS,
          useFactory: (tokens: TokenSource, throttle: Throttle, budget: LocalBudget, redis?: RedisClient) =>
            partsOf(tokens, throttle, budget, settings.QUEUE_LIMIT, redis),
          inject: [TokenSource, Throttle, LocalBudget, { token: REDIS, optional: true }],
        },
      ],
    };
  }
}
