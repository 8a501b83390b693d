import { type DynamicModule, Module, type OnModuleDestroy } from '@nestjs/common';
import type { Settings } from '../config/settings.ts';
import { type Authenticator, everyone } from './caller.ts';
import { AUTHENTICATOR, CallerGuard } from './caller.guard.ts';
import { readCallersFile } from './callers-file.ts';
import { KeyRing } from './key-ring.ts';
import { watchCallers } from './watch-callers.ts';

/** Where a change of the callers file is told. */
interface CallersLog {
  info(details: object, message: string): void;
  error(details: object, message: string): void;
}

/** Who may call. */
@Module({})
export class CallersModule {
  static register(settings: Settings, log: CallersLog): DynamicModule {
    const useFactory = (): Authenticator =>
      settings.AUTH === 'off' ? everyone : watchedKeyRing(settings.CALLERS_FILE, log);
    return {
      module: CallersModule,
      providers: [{ provide: AUTHENTICATOR, useFactory }, CallerGuard],
      exports: [AUTHENTICATOR, CallerGuard],
    };
  }
}

function watchedKeyRing(path: string, log: CallersLog): Authenticator & OnModuleDestroy {
  const ring = new KeyRing(readCallersFile(path));
  const onModuleDestroy = watchCallers(path, {
    onEntries: (entries) => {
      ring.replace(entries);
      log.info({ callers: entries.length }, 'callers file read again');
    },
    onFault: ({ faults }) => {
      log.error({ faults }, 'callers file cannot be used: the callers known so far stay');
    },
  });
  return Object.assign(ring, { onModuleDestroy });
}
