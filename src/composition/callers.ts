import type { HttpService } from '@nestjs/axios';
import { AccessTokens } from '../callers/access-tokens.ts';
import { type Authenticator, type Credentials, everyone } from '../callers/caller.ts';
import { readCallersFile } from '../callers/callers-file.ts';
import { requestKeys } from '../callers/issuer-endpoint.ts';
import { IssuerKeys } from '../callers/issuer-keys.ts';
import { KeyRing } from '../callers/key-ring.ts';
import { KnownCallers } from '../callers/known-callers.ts';
import { watchCallers } from '../callers/watch-callers.ts';
import type { Settings } from '../config/settings.ts';

/** Longest request for the issuer's keys, in milliseconds: reads wait for it. */
const KEYS_TIMEOUT_MS = 5000;

/** Takes changes of the callers file and of the issuer's keys, and the reasons for which tokens are refused. */
interface CallersLog {
  debug(details: object, message: string): void;
  info(details: object, message: string): void;
  error(details: object, message: string): void;
}

/** An authenticator, and the end of its watch of the callers file. */
export interface OwnedAuthenticator {
  readonly authenticator: Authenticator;
  end(): void;
}

/** @throws {CallersFileError} when the callers file cannot be used */
export function createAuthenticator(
  settings: Settings,
  http: HttpService,
  log: CallersLog,
): OwnedAuthenticator {
  const { AUTH, CALLERS_FILE } = settings;
  const kinds: Credentials[] = [];
  if (AUTH.includes('keys')) kinds.push(new KeyRing());
  if (AUTH.includes('jwt')) kinds.push(accessTokens(settings, http, log));
  if (kinds.length === 0) return { authenticator: everyone, end: () => undefined };
  // With tokens alone the file is optional: a token may say itself which iTwins it may read.
  const callers = new KnownCallers(kinds, readCallersFile(CALLERS_FILE, !AUTH.includes('keys')));
  const end = watchCallers(CALLERS_FILE, {
    onEntries: (entries) => {
      callers.replace(entries);
      log.info({ callers: entries.length }, 'callers file reloaded');
    },
    onFault: ({ faults }) => {
      log.error({ faults }, 'callers file invalid, keeping the previous callers');
    },
  });
  return { authenticator: callers, end };
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
      keysLoaded: (count) => {
        log.info({ keys: count }, 'issuer keys loaded');
      },
      keysFailed: (reason, code) => {
        log.error({ reason, code }, 'issuer key request failed, keeping the previous keys');
      },
    },
  });
  return new AccessTokens({
    issuer: settings.JWT_ISSUER,
    audience: settings.JWT_AUDIENCE,
    iTwinsClaim: settings.JWT_ITWINS_CLAIM,
    keyOf: keys.find,
    onRefused: (reason) => {
      log.debug({ reason }, 'access token refused');
    },
  });
}
