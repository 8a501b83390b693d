import type { HttpService } from '@nestjs/axios';
import type { JSONWebKeySet } from 'jose';
import { z } from 'zod';
import { safeCause } from '../errors/cause.ts';
import { parseJson } from '../parse-json.ts';

export interface IssuerEndpointOptions {
  readonly issuer: string;
  /** The URL of its key set; empty: taken from its discovery document. */
  readonly jwksUrl: string;
  /** How long both requests may take together, in milliseconds. */
  readonly timeoutMs: number;
}

/** Largest answer in bytes, and most keys. Issuers have about five keys, of two kilobytes with certificates. */
const LARGEST_ANSWER = 256 * 1024;
const MOST_KEYS = 100;

const discovery = z.object({ issuer: z.string(), jwks_uri: z.url({ protocol: /^https?$/ }) });
const keySet = z.object({ keys: z.array(z.looseObject({ kty: z.string() })).max(MOST_KEYS) });

/**
 * Requests the keys of an issuer (OpenID Connect Discovery 1.0 section 4, RFC 7517 section 5). No retries, and no
 * redirects, which could lead to the keys of somebody else.
 */
export async function requestKeys(http: HttpService, options: IssuerEndpointOptions): Promise<JSONWebKeySet> {
  const signal = AbortSignal.timeout(options.timeoutMs);
  const url = options.jwksUrl === '' ? await discover(http, options.issuer, signal) : options.jwksUrl;
  const parsed = keySet.safeParse(await getJson(http, url, 'key set', signal));
  if (!parsed.success) throw new Error('the key set is invalid');
  return parsed.data;
}

async function discover(http: HttpService, issuer: string, signal: AbortSignal): Promise<string> {
  const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  const parsed = discovery.safeParse(await getJson(http, url, 'discovery document', signal));
  if (!parsed.success) throw new Error('the discovery document has no valid jwks_uri');
  if (parsed.data.issuer !== issuer) throw new Error('the discovery document is of another issuer');
  const { jwks_uri: jwksUrl } = parsed.data;
  if (issuer.startsWith('https:') && !jwksUrl.startsWith('https:')) {
    throw new Error('the discovery document names an unprotected jwks_uri');
  }
  return jwksUrl;
}

async function getJson(http: HttpService, url: string, name: string, signal: AbortSignal): Promise<unknown> {
  const { status, data } = await http.axiosRef
    .get<string>(url, {
      headers: { accept: 'application/json, application/jwk-set+json' },
      signal,
      responseType: 'text',
      maxContentLength: LARGEST_ANSWER,
    })
    .catch((error: unknown) => {
      const cause = safeCause(signal.aborted ? signal.reason : error);
      const why = signal.aborted ? 'timeout' : (cause.code ?? 'unknown');
      throw new Error(`the ${name} request failed (${why})`, { cause });
    });
  if (status !== 200) throw new Error(`the ${name} request was answered ${status}`);
  const json = parseJson(data);
  if (json === undefined) throw new Error(`the ${name} is not JSON`);
  return json;
}
