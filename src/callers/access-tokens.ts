import { decodeJwt, errors, type JWTPayload, jwtVerify, type JWTVerifyGetKey } from 'jose';
import { GatewayError } from '../errors/gateway-error.ts';
import { type Admission, type Caller, caller, type Credentials } from './caller.ts';
import type { CallerEntry } from './callers-file.ts';

/** What every token must have been given for (docs/CONTRACT.md, section 6). */
const SCOPE = 'itwin-platform';
/** Signatures that are looked at: by a public key alone. A token does not choose how it is judged. */
const ALGORITHMS = ['RS256', 'PS256', 'ES256', 'EdDSA'];
/** How long a token is believed before it is verified again, in milliseconds: a key that was withdrawn has signed for nobody after that. */
const VERIFIED_FOR_MS = 10 * 60_000;
/** By how much the issuer's clock may differ, in seconds. */
const LEEWAY_SECONDS = 5;
/** Tokens of clients that no entry names share a metric label: there may be any number of them. */
const COMMON_NAME = 'jwt';

export interface AccessTokensOptions {
  readonly issuer: string;
  readonly audience: string;
  /** The claim that lists the iTwins which the token may read. */
  readonly iTwinsClaim: string;
  readonly keyOf: JWTVerifyGetKey;
  /** Told why a token was refused, in words that hold nothing of it. */
  readonly onRefused?: (reason: string) => void;
}

/** Access tokens of an issuer (RFC 9068, but `scope` may be an array, as the platform has it). */
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
    expectWorthAKey(decodeJwt(token), issuer);
    const { payload } = await jwtVerify(token, keyOf, {
      issuer,
      audience,
      algorithms: ALGORITHMS,
      clockTolerance: LEEWAY_SECONDS,
      requiredClaims: ['exp'],
    });
    if (!listed(payload['scope']).includes(SCOPE)) throw new Refused('scope');
    return payload;
  }

  /** What the token says of iTwins holds; of one that says nothing, what its client's entry says; else it may read none. */
  #callerOf(claims: JWTPayload): Caller {
    const client = claims['client_id'];
    const entry = typeof client === 'string' ? this.#entries.get(client) : undefined;
    // The issuer has made sure of the client: each has its own part of the queue.
    const queueKey = entry?.name ?? (typeof client === 'string' ? `${COMMON_NAME}:${client}` : COMMON_NAME);
    const claim = claims[this.options.iTwinsClaim];
    const iTwins = claim === undefined ? (entry?.iTwins ?? []) : listed(claim);
    return caller(entry?.name ?? COMMON_NAME, iTwins, entry?.operator, queueKey);
  }
}

/** Why a token is refused that jose finds in order. */
class Refused extends Error {}

/** A token that is refused whoever signed it: keys are not asked for on its behalf. */
function expectWorthAKey({ iss, exp }: JWTPayload, issuer: string): void {
  if (iss !== issuer) throw new Refused('iss');
  if (typeof exp !== 'number' || exp + LEEWAY_SECONDS <= Date.now() / 1000) throw new Refused('exp');
}

/** An array of strings, or one string of several with blanks between them (RFC 6749 section 3.3). */
function listed(claim: unknown): string[] {
  const parts: unknown[] = typeof claim === 'string' ? claim.split(' ') : Array.isArray(claim) ? claim : [];
  return parts.filter((part): part is string => typeof part === 'string' && part !== '');
}

function reasonOf(error: unknown): string {
  if (error instanceof Refused) return error.message;
  if (error instanceof errors.JWTClaimValidationFailed || error instanceof errors.JWTExpired)
    return error.claim;
  return error instanceof errors.JOSEError ? error.code : 'unreadable';
}
