import { type DynamicModule, Module } from '@nestjs/common';
import { TerminusModule } from '@nestjs/terminus';
import { type Budget, BUDGET } from '../budget/budget.ts';
import type { Settings } from '../config/settings.ts';
import { Lifecycle } from '../lifecycle.ts';
import type { RedisClient } from '../store/redis-topology.ts';
import type { Replicas } from '../store/replicas.ts';
import { REDIS, REPLICAS } from '../store/store.module.ts';
import { Circuit } from '../upstream/layers/circuit.ts';
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
          useFactory: (
            circuit: Circuit,
            tokens: TokenSource,
            throttle: Throttle,
            budget: Budget,
            redis?: RedisClient,
            replicas?: Replicas,
          ) =>
            partsOf({
              circuit,
              tokens,
              throttle,
              budget,
              queueLimit: settings.QUEUE_LIMIT,
              redis,
              subscription: replicas?.subscription,
            }),
          inject: [
            Circuit,
            TokenSource,
            Throttle,
            BUDGET,
            { token: REDIS, optional: true },
            { token: REPLICAS, optional: true },
          ],
        },
      ],
    };
  }
}
