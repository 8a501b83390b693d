import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { statusAnswer } from './faults.ts';
import { HANG, REFUSE, RESET, after, plain } from './reactions.ts';
import type { Outcome, Reaction } from './reactions.ts';
import { readText } from './read-text.ts';
import { draw } from './settings.ts';
import type { FakeUpstreamSettings, TokenFault } from './settings.ts';

/** How every token begins: where one turns up that should not, it is known for what it is. */
export const TOKEN_MARK = 'token-of-the-upstream-';

/** How a client said who it is: by HTTP Basic, in the body, or not at all. */
export type ClientAuth = 'basic' | 'body' | 'none';

export interface TokenRequest {
  /** When it arrived, in milliseconds on the clock of `performance.now()`. */
  readonly at: number;
  readonly auth: ClientAuth;
  readonly status: Outcome;
}

interface Claim {
  readonly auth: ClientAuth;
  readonly id: string;
  readonly secret: string;
}

/** The token endpoint for the client credentials grant (RFC 6749 section 4.4) and the tokens that it has issued. */
export class TokenEndpoint {
  readonly requests: TokenRequest[] = [];
  readonly #settings: Readonly<FakeUpstreamSettings>;
  /** From when on and until when the API takes each token, on the clock of `performance.now()`. */
  readonly #lives = new Map<string, { readonly from: number; readonly until: number }>();

  constructor(settings: Readonly<FakeUpstreamSettings>) {
    this.#settings = settings;
  }

  accepts(token: string): boolean {
    const life = this.#lives.get(token);
    const now = performance.now();
    return life !== undefined && now >= life.from && now < life.until;
  }

  /** Makes all tokens issued so far invalid. */
  revoke(): void {
    this.#lives.clear();
  }

  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const at = performance.now();
    const form = new URLSearchParams(await readText(request));
    const claim = claimOf(request.headers.authorization, form);
    const fault = this.#settings.tokenFault;
    const reaction = fault ? faultReaction(fault) : this.#grant(request, form, claim);
    this.requests.push({ at, auth: claim.auth, status: reaction.outcome });
    after(response, draw(this.#settings.tokenLatencyMs), () => reaction.send(request, response));
  }

  #grant(request: IncomingMessage, form: URLSearchParams, claim: Claim): Reaction {
    if (request.method !== 'POST') return refusal(405, 'invalid_request');
    if (!request.headers['content-type']?.startsWith('application/x-www-form-urlencoded')) {
      return refusal(400, 'invalid_request');
    }
    if (claim.id !== this.#settings.clientId || claim.secret !== this.#settings.clientSecret) {
      return refusal(401, 'invalid_client');
    }
    if (form.get('grant_type') !== 'client_credentials') return refusal(400, 'unsupported_grant_type');
    if (form.get('scope') !== 'itwin-platform') return refusal(400, 'invalid_scope');
    const lifetime = this.#settings.tokenLifetimeSeconds;
    const token = `${TOKEN_MARK}${randomUUID()}`;
    const now = performance.now();
    this.#lives.set(token, { from: now + this.#settings.tokenLagMs, until: now + lifetime * 1000 });
    const body = JSON.stringify({ access_token: token, token_type: 'Bearer', expires_in: lifetime });
    return plain({ status: 200, body, headers: { 'cache-control': 'no-store' } });
  }
}

function refusal(status: number, error: string): Reaction {
  const headers: Record<string, string> = status === 401 ? { 'www-authenticate': 'Basic' } : {};
  return plain({ status, body: JSON.stringify({ error }), headers });
}

function faultReaction(fault: TokenFault): Reaction {
  switch (fault.kind) {
    case 'status':
      return plain(statusAnswer(fault));
    case 'hang':
      return HANG;
    case 'reset':
      return RESET;
    case 'refuse':
      return REFUSE;
    case 'malformed':
      return plain({ status: 200, body: '{"access_token": "' });
  }
}

/** HTTP Basic goes before the body (RFC 6749 section 2.3.1). */
function claimOf(authorization: string | undefined, form: URLSearchParams): Claim {
  const encoded = /^Basic +(.*)$/i.exec(authorization ?? '')?.[1];
  if (encoded !== undefined) {
    const [, id = '', secret = ''] = /^([^:]*):(.*)$/s.exec(Buffer.from(encoded, 'base64').toString()) ?? [];
    return { auth: 'basic', id: formDecode(id), secret: formDecode(secret) };
  }
  const id = form.get('client_id');
  if (id === null) return { auth: 'none', id: '', secret: '' };
  return { auth: 'body', id, secret: form.get('client_secret') ?? '' };
}

/** What is not form-urlencoded is no one's id or secret. */
function formDecode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    return '';
  }
}
