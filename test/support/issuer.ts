import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  exportJWK,
  generateKeyPair,
  type JWK,
  type JWTHeaderParameters,
  type JWTPayload,
  SignJWT,
} from 'jose';
import Provider, { type Adapter } from 'oidc-provider';

export const AUDIENCE = 'https://gateway.example';
const SECRET = 'secret-of-the-client-at-the-issuer';

/** A client of the issuer, with additional claims for its tokens. */
export interface IssuerClient {
  readonly id: string;
  readonly claims?: Readonly<Record<string, unknown>>;
}

/** Stores nothing: tokens are self-contained. */
class Nothing implements Adapter {
  async upsert(): Promise<void> {}
  async find(): Promise<undefined> {}
  async findByUserCode(): Promise<undefined> {}
  async findByUid(): Promise<undefined> {}
  async consume(): Promise<void> {}
  async destroy(): Promise<void> {}
  async revokeByGrantId(): Promise<void> {}
}

/** A key pair of the issuer. */
export interface IssuerKey {
  readonly kid: string;
  readonly jwk: JWK;
}

export async function issuerKey(kid: string, alg = 'RS256'): Promise<IssuerKey> {
  const { privateKey } = await generateKeyPair(alg, { extractable: true });
  return { kid, jwk: { ...(await exportJWK(privateKey)), kid, alg, use: 'sig' } };
}

/** An authorization server (npm oidc-provider) whose keys can be rotated and whose answers can be replaced. */
export class Issuer {
  /** Paths of all requests. */
  readonly asked: string[] = [];
  /** Replaces the answers of the server, if set. */
  instead: RequestListener | undefined;
  url = '';
  #serve: RequestListener = () => undefined;
  readonly #clients: readonly IssuerClient[];
  #key: IssuerKey;
  readonly #server = createServer((request, response) => {
    this.asked.push(request.url ?? '');
    (this.instead ?? this.#serve)(request, response);
  });

  private constructor(clients: readonly IssuerClient[], key: IssuerKey) {
    this.#clients = clients;
    this.#key = key;
  }

  static async start(clients: readonly IssuerClient[] = []): Promise<Issuer> {
    const issuer = new Issuer(clients, await issuerKey('first'));
    issuer.#server.listen(0, '127.0.0.1');
    await once(issuer.#server, 'listening');
    issuer.url = `http://127.0.0.1:${(issuer.#server.address() as AddressInfo).port}`;
    issuer.rotate(issuer.#key);
    return issuer;
  }

  get key(): IssuerKey {
    return this.#key;
  }

  /** Number of requests for the keys. */
  get keyRequests(): number {
    return this.asked.filter((path) => path === '/jwks').length;
  }

  /** Settings of a gateway that accepts its tokens. */
  get env() {
    return { AUTH: 'jwt', JWT_ISSUER: this.url, JWT_AUDIENCE: AUDIENCE };
  }

  /** Replaces the signing key. */
  rotate(key: IssuerKey): void {
    this.#key = key;
    const provider = new Provider(this.url, {
      adapter: Nothing,
      jwks: { keys: [key.jwk] },
      ttl: { ClientCredentials: 600 },
      scopes: ['itwin-platform', 'another'],
      clients: this.#clients.map(({ id }) => ({
        client_id: id,
        client_secret: SECRET,
        grant_types: ['client_credentials'],
        redirect_uris: [],
        response_types: [],
      })),
      extraTokenClaims: (_context, { clientId }) => this.#clients.find(({ id }) => id === clientId)?.claims,
      features: {
        devInteractions: { enabled: false },
        clientCredentials: { enabled: true },
        resourceIndicators: {
          enabled: true,
          defaultResource: () => AUDIENCE,
          getResourceServerInfo: () => ({
            scope: 'itwin-platform another',
            audience: AUDIENCE,
            accessTokenFormat: 'jwt',
            accessTokenTTL: 600,
          }),
        },
      },
    });
    const serve = provider.callback();
    this.#serve = (request, response) => void serve(request, response);
  }

  /** Requests a token as a client: `scope` is a string. */
  async token(client: string, scope = 'itwin-platform'): Promise<string> {
    const answer = await fetch(`${this.url}/token`, {
      method: 'POST',
      headers: { authorization: `Basic ${Buffer.from(`${client}:${SECRET}`).toString('base64')}` },
      body: new URLSearchParams({ grant_type: 'client_credentials', scope }),
    });
    if (!answer.ok) throw new Error(await answer.text());
    return ((await answer.json()) as { access_token: string }).access_token;
  }

  /** Signs a valid token with changed claims and header; `undefined` removes a claim. */
  async sign(
    claims: JWTPayload = {},
    head: Partial<JWTHeaderParameters> = {},
    key = this.#key,
  ): Promise<string> {
    return signed({ iss: this.url, ...claims }, { kid: key.kid, ...head }, key);
  }

  async stop(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
  }
}

/** Signs a token like the platform's, with `scope` as an array; `undefined` removes a claim. */
export async function signed(
  claims: JWTPayload,
  head: Partial<JWTHeaderParameters>,
  { jwk }: IssuerKey,
): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  const usual = {
    aud: AUDIENCE,
    iat: now,
    exp: now + 600,
    client_id: 'by-hand',
    scope: ['another', 'itwin-platform'],
  };
  const alg = head.alg ?? jwk.alg ?? 'RS256';
  return new SignJWT({ ...usual, ...claims })
    .setProtectedHeader({ typ: 'at+jwt', ...head, alg })
    .sign({ ...jwk, alg });
}
