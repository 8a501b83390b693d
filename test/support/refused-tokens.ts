import { createPublicKey, randomUUID } from 'node:crypto';
import { base64url, SignJWT } from 'jose';
import { AUDIENCE, type IssuerKey, issuerKey, signed } from './issuer.ts';

const now = (): number => Math.floor(Date.now() / 1000);
const small = await issuerKey('first');
const stranger = await issuerKey('first');
const elliptic = await issuerKey('elliptic', 'ES256');
const json = (value: object): string => base64url.encode(JSON.stringify(value));

/**
 * Invalid tokens, each with its only fault.
 * @param key the issuer's signing key
 */
export function refusedTokens(iss: string, key: IssuerKey): [what: string, token: () => Promise<string>][] {
  const by = (claims: object, head: object = {}, signer = key) =>
    signed({ iss, ...claims }, { kid: key.kid, ...head }, signer);
  const claims = () => ({
    iss,
    aud: AUDIENCE,
    exp: now() + 600,
    scope: ['itwin-platform'],
    client_id: 'by-hand',
  });
  const publicKey = createPublicKey({ key: key.jwk, format: 'jwk' });
  const hmac = (secret: string | Buffer) => () =>
    new SignJWT(claims()).setProtectedHeader({ alg: 'HS256', kid: key.kid }).sign(Buffer.from(secret));
  const tampered = async (change: (parts: [string, string, string]) => string[]): Promise<string> =>
    change((await by({})).split('.') as [string, string, string]).join('.');
  return [
    ['of another issuer', () => by({ iss: `${iss}/` })],
    ['of no issuer', () => by({ iss: undefined })],
    ['for another audience', () => by({ aud: ['https://another.example'] })],
    ['for no audience', () => by({ aud: undefined })],
    ['of another scope', () => by({ scope: ['another', 'itwin-platform:read'] })],
    ['of a scope that begins so', () => by({ scope: 'itwin-platform-x x-itwin-platform' })],
    ['of a scope in a deeper array', () => by({ scope: [['itwin-platform']] })],
    ['of no scope', () => by({ scope: undefined })],
    ['of the algorithm none', async () => `${json({ alg: 'none', kid: key.kid })}.${json(claims())}.`],
    ['of the algorithm None', async () => `${json({ alg: 'None', kid: key.kid })}.${json(claims())}.`],
    ['signed HS256 with the public key', hmac(publicKey.export({ type: 'spki', format: 'pem' }))],
    ['signed HS256 with the modulus', hmac(Buffer.from(key.jwk.n ?? '', 'base64url'))],
    ['of an algorithm that is not taken', () => by({}, { alg: 'RS512' })],
    ['of another kind of key', () => by({}, { kid: key.kid, alg: 'ES256' }, elliptic)],
    ['expired', () => by({ exp: now() - 6 })],
    ['that does not expire', () => by({ exp: undefined })],
    ['that expires at a word', () => by({ exp: 'never' as never })],
    ['not yet valid', () => by({ nbf: now() + 30 })],
    ['signed by another key of the same name', () => by({}, {}, stranger)],
    ['of an unknown key', () => by({}, { kid: randomUUID() }, small)],
    ['that brings its own key', () => by({}, { jwk: { kty: 'RSA', n: small.jwk.n, e: small.jwk.e } }, small)],
    ['that says where its key is', () => by({}, { jku: `${iss}/jwks`, x5u: `${iss}/jwks` }, small)],
    [
      'with something critical',
      () =>
        tampered(([, ...rest]) => [json({ alg: 'RS256', kid: key.kid, crit: ['b64'], b64: false }), ...rest]),
    ],
    [
      'with other claims than were signed',
      () => tampered(([head, , end]) => [head, json({ ...claims(), itwins: '*' }), end]),
    ],
    ['without its signature', () => tampered(([head, body]) => [head, body, ''])],
    ['with a signature cut short', () => tampered(([head, body, end]) => [head, body, end.slice(0, -4)])],
    ['of two parts', () => tampered(([head, body]) => [head, body])],
    ['of five parts', () => tampered((parts) => [...parts, 'a', 'b'])],
    ['whose claims are no object', () => tampered(([head, , end]) => [head, json([]), end])],
    ['whose claims are no JSON', () => tampered(([head, , end]) => [head, 'AAAA', end])],
  ];
}
