import { decodeJwt, errors, type JWTPayload, jwtVerify, type JWTVerifyGetKey } from 'jose';
import { GatewayError } from '../errors/gateway-error.ts';
import { type Admission, type Caller, caller, type Credentials } from './caller.ts';
import type { CallerEntry } from './callers-file.ts';

/** The scope that every token must have (docs/CONTRACT.md, section 6). */
const SCOPE = 'itwin-platform';
/** Accepted signature algorithms: those with a public key alone. */
const ALGORITHMS = ['RS256', 'PS256', 'ES256', 'EdDSA'];
/** How long a verified token is cached, in milliseconds: after that a withdrawn key is no longer trusted. */
const VERIFIED_FOR_MS = 10 * 60_000;
/** Tolerated difference from the issuer's clock, in seconds. */
const LEEWAY_SECONDS = 5;
/** The metric label shared by all clients without an entry, of which there may be any number. */
const COMMON_NAME = 'jwt';

export interface AccessTokensOptions {
  readonly issuer: string;
  readonly audience: string;
  /** The claim that lists the iTwins which the client may read. */
  readonly iTwinsClaim: string;
  readonly keyOf: JWTVerifyGetKey;
  /** Called with the reason of a refusal, which quotes nothing of the token. */
  readonly onRefused?: (reason: string) => void;
}

/** Verifies access tokens of an issuer (RFC 9068, except that `scope` may be an array, as on the iTwin platform). */
export class AccessTokens implements Credentials {
  #entries: ReadonlyMap<string | undefined, CallerEntry> = new Map();

  constructor(private readonly options: AccessTokensOptions) {}

  replace(entries: readonly CallerEntry[]): void {
    const named = entries.filter(({ clientId }) => clientId !== undefined);
    this.#entries = new Map(named.map((entry) => [entry.clientId, entry]));
  }

  async admit(token: string): Promise<Admission | undefined> {
    try {
      const claims = await this.#verify(token);
      const endsAt = (Number(claims.exp) + LEEWAY_SECONDS) * 1000;
      return { caller: this.#callerOf(claims), until: Math.min(endsAt, Date.now() + VERIFIED_FOR_MS) };
    } catch (error) {
      if (error instanceof GatewayError) throw error;
      this.options.onRefused?.(reasonOf(error));
      return undefined;
    }
  }

  async #verify(token: string): Promise<JWTPayload> {
    const { issuer, audience, keyOf } = this.options;
    refuseEarly(decodeJwt(token), issuer);
    const { payload } = await jwtVerify(token, keyOf, {
      issuer,
      audience,
      algorithms: ALGORITHMS,
      clockTolerance: LEEWAY_SECONDS,
      requiredClaims: ['exp'],
    });
    if (!stringsIn(payload['scope']).includes(SCOPE)) throw new Refused('scope');
    return payload;
  }

  /** The iTwins come from the token's claim, or else from its client's entry, or else there are none. */
  #callerOf(claims: JWTPayload): Caller {
    const client = claims['client_id'];
    const entry = typeof client === 'string' ? this.#entries.get(client) : undefined;
    // The issuer has authenticated the client: each has a queue of its own.
    const queueKey = entry?.name ?? (typeof client === 'string' ? `${COMMON_NAME}:${client}` : COMMON_NAME);
    const claim = claims[this.options.iTwinsClaim];
    const iTwins = claim === undefined ? (entry?.iTwins ?? []) : stringsIn(claim);
    return caller(entry?.name ?? COMMON_NAME, iTwins, entry?.operator, queueKey);
  }
}

/** A refusal for a reason that jose does not check. */
class Refused extends Error {}

/** Refuses tokens that no signature can save, so that they cause no request for keys. */
function refuseEarly({ iss, exp }: JWTPayload, issuer: string): void {
  if (iss !== issuer) throw new Refused('iss');
  if (typeof exp !== 'number' || exp + LEEWAY_SECONDS <= Date.now() / 1000) throw new Refused('exp');
}

/** The strings of an array, or those of a blank-separated list (RFC 6749 section 3.3). */
function stringsIn(claim: unknown): string[] {
  const parts: unknown[] = typeof claim === 'string' ? claim.split(' ') : Array.isArray(claim) ? claim : [];
  return parts.filter((part): part is string => typeof part === 'string' && part !== '');
}

function reasonOf(error: unknown): string {
  if (error instanceof Refused) return error.message;
  if (error instanceof errors.JWTClaimValidationFailed || error instanceof errors.JWTExpired)
    return error.claim;
  return error instanceof errors.JOSEError ? error.code : 'unreadable';
}
