import { type DynamicModule, Module } from '@nestjs/common';
import type { Settings } from '../config/settings.ts';
import { ACTIVE_FRESH_MS, JobsController } from './jobs.controller.ts';

@Module({})
export class JobsModule {
  static register(settings: Settings, imports: DynamicModule[]): DynamicModule {
    return {
      module: JobsModule,
      imports,
      controllers: [JobsController],
      providers: [{ provide: ACTIVE_FRESH_MS, useValue: settings.ACTIVE_FRESH }],
    };
  }
}
