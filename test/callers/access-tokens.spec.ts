import { randomUUID } from 'node:crypto';
import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { createLocalJWKSet } from 'jose';
import { AccessTokens } from '../../src/callers/access-tokens.ts';
import { KeyRing } from '../../src/callers/key-ring.ts';
import { KnownCallers } from '../../src/callers/known-callers.ts';
import type { Admission } from '../../src/callers/caller.ts';
import type { CallerEntry } from '../../src/callers/callers-file.ts';
import { AUDIENCE, issuerKey, signed } from '../support/issuer.ts';
import { refusedTokens } from '../support/refused-tokens.ts';

const ISSUER = 'https://issuer.example';
const [A, B] = [randomUUID(), randomUUID()];
const key = await issuerKey('first');
const { kty, n, e } = key.jwk;
const keySet = createLocalJWKSet({ keys: [{ kty: kty ?? '', n: n ?? '', e: e ?? '', kid: 'first' }] });
const reasons: string[] = [];
let keysAsked = 0;

function accessTokens(entries: CallerEntry[] = []): AccessTokens {
  const tokens = new AccessTokens({
    issuer: ISSUER,
    audience: AUDIENCE,
    iTwinsClaim: 'itwins',
    keyOf: (head, token) => {
      keysAsked++;
      return keySet(head, token);
    },
    onRefused: (reason) => reasons.push(reason),
  });
  tokens.replace(entries);
  return tokens;
}
const token = (claims: object = {}, head: object = {}) =>
  signed({ iss: ISSUER, ...claims }, { kid: 'first', ...head }, key);
const entry = (name: string, clientId: string, iTwins: string[]): CallerEntry => ({
  name,
  clientId,
  iTwins,
  operator: true,
});
const admit = async (claims: object, entries: CallerEntry[] = []): Promise<Admission | undefined> =>
  accessTokens(entries).admit(await token(claims));
const now = (): number => Math.floor(Date.now() / 1000);

afterEach(() => {
  jest.useRealTimers();
  reasons.length = 0;
});

describe('an access token', () => {
  it.each([
    ['an array', ['another', 'itwin-platform']],
    ['a string', 'itwin-platform'],
    ['a string of several', 'another itwin-platform openid'],
  ])('is accepted if its scope is %s with the required one', async (_, scope) => {
    expect(await admit({ scope })).toBeDefined();
  });

  it.each(refusedTokens(ISSUER, key))('is refused if it is %s', async (_, make) => {
    const made = await make();
    expect(await accessTokens().admit(made)).toBeUndefined();
    expect(reasons).toHaveLength(1);
    expect(reasons[0]).toMatch(/^(iss|aud|exp|nbf|scope|unspecified|unreadable|ERR_[A-Z_]+)$/);
  });

  it('expires, and becomes valid, with five seconds of tolerance', async () => {
    const exp = now() - 3;
    expect(await admit({ exp, nbf: now() + 3 })).toMatchObject({ until: (exp + 5) * 1000 });
  });

  it('is refused without a request for keys if it has expired or is of another issuer', async () => {
    keysAsked = 0;
    await admit({ iss: 'https://another.example' });
    await admit({ exp: now() - 10 });
    expect([keysAsked, reasons]).toEqual([0, ['iss', 'exp']]);
  });
});

describe('the caller of a token', () => {
  const all = entry('dashboard', 'client-of-dashboard', ['*']);
  const sees = async (claims: object): Promise<unknown[]> => {
    const { caller } = (await admit(claims, [all, entry('other', 'other', [B])]))!;
    return [
      caller.name,
      caller.operator,
      caller.maySee(A.toUpperCase()),
      caller.maySee(B),
      caller.maySee(undefined),
    ];
  };

  it('may read the iTwins of the claim, if there is one, whatever the callers file lists', async () => {
    expect(await sees({ itwins: [A] })).toEqual(['jwt', false, true, false, false]);
    expect(await sees({ itwins: `${A} ${B}` })).toEqual(['jwt', false, true, true, false]);
    expect(await sees({ itwins: '*' })).toEqual(['jwt', false, true, true, true]);
    expect(await sees({ itwins: [A], client_id: 'client-of-dashboard' })).toEqual([
      'dashboard',
      true,
      true,
      false,
      false,
    ]);
  });

  it('may read the iTwins of the entry of its client, if there is no claim', async () => {
    expect(await sees({ client_id: 'client-of-dashboard' })).toEqual(['dashboard', true, true, true, true]);
    expect(await sees({ client_id: 'other' })).toEqual(['other', true, false, true, false]);
  });

  it('has a queue of its own for each client, or that of its entry', async () => {
    const lineOf = async (client_id?: unknown): Promise<unknown> =>
      (await admit({ client_id }, [all]))?.caller.queueKey;
    expect(await lineOf('client-of-dashboard')).toBe('dashboard');
    // What no entry can be named.
    expect(await lineOf('dashboard')).toBe('jwt:dashboard');
    expect(await lineOf('another')).toBe('jwt:another');
    expect([await lineOf(), await lineOf(null)]).toEqual(['jwt', 'jwt']);
  });

  it('may read none without a claim and an entry, or if the claim is malformed', async () => {
    const nothing = ['jwt', false, false, false, false];
    for (const client_id of [undefined, 'unknown', 'dashboard', ['other'], null, 1]) {
      expect(await sees({ client_id })).toEqual(nothing);
    }
    for (const itwins of [null, [], '', 0, true, { '*': true }, [['*']], [null]]) {
      const seen = await sees({ itwins, client_id: 'client-of-dashboard' });
      expect(seen).toEqual(['dashboard', true, false, false, false]);
    }
  });
});

describe('the cache of verified callers', () => {
  const entries = [{ ...entry('dashboard', 'by-hand', [A]), keySha256: [] }];
  const known = () => new KnownCallers([new KeyRing(), accessTokens()], entries);

  it('holds a verified token until it expires', async () => {
    const callers = known();
    const exp = now() + 60;
    const header = `Bearer ${await token({ exp })}`;
    const first = callers.authenticate(header);
    expect(first).toBeInstanceOf(Promise);
    const caller = await first;
    expect(callers.authenticate(header)).toBe(caller);
    jest.useFakeTimers({ now: (exp + 4) * 1000, doNotFake: ['performance'] });
    expect(callers.authenticate(header)).toBe(caller);
    jest.setSystemTime((exp + 6) * 1000);
    await expect(callers.authenticate(header)).rejects.toMatchObject({ status: 401 });
  });

  it('is emptied when the callers file changes, also while a token is verified', async () => {
    const callers = known();
    const header = `Bearer ${await token()}`;
    const looking = callers.authenticate(header);
    callers.replace([entry('renamed', 'by-hand', [B])]);
    await looking;
    const caller = await callers.authenticate(header);
    expect([caller.name, caller.maySee(A), caller.maySee(B)]).toEqual(['renamed', false, true]);
    callers.replace([]);
    expect((await callers.authenticate(header)).maySee(B)).toBe(false);
  });
});
