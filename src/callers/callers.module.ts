import { HttpModule, HttpService } from '@nestjs/axios';
import { type DynamicModule, Module, type OnModuleDestroy } from '@nestjs/common';
import type { Settings } from '../config/settings.ts';
import { httpClient } from '../http/client.ts';
import { AccessTokens } from './access-tokens.ts';
import { type Authenticator, type Credentials, everyone } from './caller.ts';
import { AUTHENTICATOR, CallerGuard } from './caller.guard.ts';
import { readCallersFile } from './callers-file.ts';
import { requestKeys } from './issuer-endpoint.ts';
import { IssuerKeys } from './issuer-keys.ts';
import { KeyRing } from './key-ring.ts';
import { KnownCallers } from './known-callers.ts';
import { watchCallers } from './watch-callers.ts';

/** How long the issuer may take to say its keys, in milliseconds: reads wait for it. */
const KEYS_TIMEOUT_MS = 5000;

/** Where a change of the callers file or the issuer's keys is told, and why a token was refused. */
interface CallersLog {
  debug(details: object, message: string): void;
  info(details: object, message: string): void;
  error(details: object, message: string): void;
}

/** Who may call. */
@Module({})
export class CallersModule {
  static register(settings: Settings, log: CallersLog): DynamicModule {
    const useFactory = (http: HttpService): Authenticator => {
      const kinds: Credentials[] = [];
      if (settings.AUTH.includes('keys')) kinds.push(new KeyRing());
      if (settings.AUTH.includes('jwt')) kinds.push(accessTokens(settings, http, log));
      return kinds.length === 0 ? everyone : watched(kinds, settings, log);
    };
    return {
      module: CallersModule,
      imports: [HttpModule.register(httpClient(settings.proxy))],
      providers: [{ provide: AUTHENTICATOR, useFactory, inject: [HttpService] }, CallerGuard],
      exports: [AUTHENTICATOR, CallerGuard],
    };
  }
}

function watched(
  kinds: Credentials[],
  { AUTH, CALLERS_FILE }: Settings,
  log: CallersLog,
): Authenticator & OnModuleDestroy {
  // Tokens may say themselves what they may read.
  const callers = new KnownCallers(kinds, readCallersFile(CALLERS_FILE, !AUTH.includes('keys')));
  const onModuleDestroy = watchCallers(CALLERS_FILE, {
    onEntries: (entries) => {
      callers.replace(entries);
      log.info({ callers: entries.length }, 'callers file read again');
    },
    onFault: ({ faults }) => {
      log.error({ faults }, 'callers file cannot be used: the callers known so far stay');
    },
  });
  return Object.assign(callers, { onModuleDestroy });
}

function accessTokens(settings: Settings, http: HttpService, log: CallersLog): AccessTokens {
  const endpoint = {
    issuer: settings.JWT_ISSUER,
    jwksUrl: settings.JWT_JWKS_URL,
    timeoutMs: KEYS_TIMEOUT_MS,
  };
  const keys = new IssuerKeys({
    request: () => requestKeys(http, endpoint),
    observer: {
      keysRead: (count) => {
        log.info({ keys: count }, "the issuer's keys were read");
      },
      keysFailed: (reason, code) => {
        log.error({ reason, code }, "the issuer's keys cannot be had: those that are held go on");
      },
    },
  });
  return new AccessTokens({
    issuer: settings.JWT_ISSUER,
    audience: settings.JWT_AUDIENCE,
    iTwinsClaim: settings.JWT_ITWINS_CLAIM,
    keyOf: keys.find,
    onRefused: (reason) => {
      log.debug({ reason }, 'a token was refused');
    },
  });
}
