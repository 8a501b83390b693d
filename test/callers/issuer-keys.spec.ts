import { describe, expect, it } from '@jest/globals';
import { errors, type FlattenedJWSInput, type JSONWebKeySet } from 'jose';
import { setTimeout as delay } from 'node:timers/promises';
import { IssuerKeys, type IssuerKeysOptions } from '../../src/callers/issuer-keys.ts';
import { issuerKey } from '../support/issuer.ts';

const [first, second] = await Promise.all([issuerKey('first'), issuerKey('second')]);
const COOLDOWN_MS = 100;

/** A fake issuer. */
function issuer(options: Partial<IssuerKeysOptions> = {}) {
  const state = { kids: [first], asked: 0, latencyMs: 0, down: false, told: [] as (number | string)[] };
  const publicPart = ({ jwk: { kty, n, e, kid, alg } }: typeof first) => ({ kty, n, e, kid, alg });
  const request = async (): Promise<JSONWebKeySet> => {
    state.asked++;
    const keys = state.kids.map(publicPart);
    await delay(state.latencyMs);
    if (state.down) throw new Error('it is down');
    return { keys } as JSONWebKeySet;
  };
  const observer = {
    keysLoaded: (count: number) => state.told.push(count),
    keysFailed: (reason: string) => state.told.push(reason),
  };
  const keys = new IssuerKeys({
    request,
    observer,
    cooldownMs: COOLDOWN_MS,
    failureCooldownMs: 150,
    ...options,
  });
  const find = async (kid: string): Promise<string> => {
    const head = { alg: 'RS256', kid };
    const looking = Promise.resolve(keys.find(head, {} as FlattenedJWSInput));
    const found = await looking.catch((error: unknown) => error);
    if (found instanceof errors.JWKSNoMatchingKey) return 'none';
    return found instanceof Error ? found.message : 'found';
  };
  return { state, find };
}

const times = (count: number, run: (index: number) => Promise<string>): Promise<string[]> =>
  Promise.all(Array.from({ length: count }, (_, index) => run(index)));
const UNAVAILABLE = 'The service is temporarily unavailable.';

describe("the issuer's keys", () => {
  it('are requested once, however many tokens come, and kept', async () => {
    const { state, find } = issuer();
    state.latencyMs = 20;
    expect(new Set(await times(50, () => find('first')))).toEqual(new Set(['found']));
    expect(await find('first')).toBe('found');
    expect([state.asked, state.told]).toEqual([1, [1]]);
  });

  it('are requested again for a token with an unknown key, which is then found', async () => {
    const { state, find } = issuer();
    await find('first');
    state.kids = [first, second];
    expect(await times(20, () => find('second'))).toEqual(Array(20).fill('found'));
    expect(state.asked).toBe(2);
  });

  it('are requested once per cooldown, whatever tokens name, and a new key is still found', async () => {
    const { state, find } = issuer();
    await find('first');
    const since = performance.now();
    let garbage = 0;
    while (performance.now() < since + 5 * COOLDOWN_MS) {
      const found = await times(100, (index) => find(`garbage-${garbage + index}`));
      garbage += found.length;
      expect(new Set(found)).toEqual(new Set(['none']));
    }
    const windows = (performance.now() - since) / COOLDOWN_MS;
    expect(garbage).toBeGreaterThan(200);
    expect(state.asked).toBeLessThanOrEqual(2 + windows);
    const [, found] = await Promise.all([
      find('garbage'),
      delay(10).then(() => {
        state.kids = [second];
        return find('second');
      }),
    ]);
    expect(found).toBe('found');
  });

  it('are requested again if the pending request may be older than the key of a token', async () => {
    const { state, find } = issuer();
    await find('first');
    state.latencyMs = 100;
    const garbage = find('garbage');
    await delay(COOLDOWN_MS + 50);
    expect(state.asked).toBe(2);
    state.kids = [second];
    expect([await find('second'), await garbage]).toEqual(['found', 'none']);
    expect(state.asked).toBe(3);
  });

  it('stay in use while the issuer is down; other tokens get 503, and requests pause', async () => {
    const { state, find } = issuer();
    await find('first');
    state.down = true;
    await delay(COOLDOWN_MS);
    expect(new Set(await times(100, () => find('second')))).toEqual(new Set([UNAVAILABLE]));
    expect(await find('second')).toBe(UNAVAILABLE);
    expect(await find('first')).toBe('found');
    expect([state.asked, state.told]).toEqual([2, [1, 'it is down']]);
    Object.assign(state, { down: false, kids: [second] });
    await delay(150);
    expect(await find('second')).toBe('found');
  });

  it('stay in use when old until newer ones have come, and not after', async () => {
    const { state, find } = issuer({ freshMs: 50, cooldownMs: 0 });
    await find('first');
    state.kids = [second];
    await delay(60);
    expect(await find('first')).toBe('found');
    await delay(20);
    expect(await find('first')).toBe('none');
  });

  it('are waited for by a bounded number of tokens', async () => {
    const { state, find } = issuer();
    state.latencyMs = 20;
    const found = await times(1100, () => find('first'));
    expect(found.filter((one) => one === 'found')).toHaveLength(1000);
    expect(found.filter((one) => one === UNAVAILABLE)).toHaveLength(100);
  });
});
