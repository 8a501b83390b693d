import { inspect } from 'node:util';
import { HttpService } from '@nestjs/axios';
import { beforeAll, expect, it } from '@jest/globals';
import axios from 'axios';
import type { FlattenedJWSInput } from 'jose';
import { requestKeys } from '../../src/callers/issuer-endpoint.ts';
import { IssuerKeys } from '../../src/callers/issuer-keys.ts';
import { codeOf } from '../../src/errors/cause.ts';
import { httpClient } from '../../src/http/client.ts';
import type { SharedRead } from '../../src/upstream/exchange.ts';
import { Circuit } from '../../src/upstream/layers/circuit.ts';
import { requestToken, TokenFailure } from '../../src/upstream/token-endpoint.ts';
import { TokenSource } from '../../src/upstream/token-source.ts';
import { transport } from '../../src/upstream/transport.ts';
import { freePort } from '../support/ports.ts';

const http = new HttpService(axios.create(httpClient({})));
const TOKEN = 'token-that-is-secret';
const read = {
  jobId: 'job',
  correlationId: 'id',
  cancellation: { signal: new AbortController().signal },
} as SharedRead;
let url: string;

beforeAll(async () => {
  url = `http://127.0.0.1:${await freePort()}`;
});

/** What is thrown leads to the code, through causes that hold neither a secret nor where it was sent. */
async function expectRefusedConnection(promise: Promise<unknown>): Promise<Error> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(codeOf(error)).toBe('ECONNREFUSED');
  const told = inspect(error, { depth: 20, showHidden: true });
  expect(told).toContain('ECONNREFUSED');
  expect(told.replace(/ +at .*/g, '')).not.toMatch(/is-secret|127\.0\.0\.1|authorization/i);
  return error as Error;
}

const send = () => transport(http, { apiUrl: url, timeoutMs: 1000 })(read, TOKEN);
const ask = () =>
  requestToken(http, {
    url,
    clientId: 'id',
    clientSecret: 'that-is-secret',
    clientAuth: 'body',
    scope: 'a',
    timeoutMs: 1000,
  });

it('a call that fails has its cause', async () => {
  expect(await expectRefusedConnection(send())).toMatchObject({
    name: 'UpstreamFailure',
    cause: { message: 'connect ECONNREFUSED', code: 'ECONNREFUSED' },
    call: { outcome: { status: 'connection', code: 'ECONNREFUSED' } },
  });
});

it('a token request that fails is the cause of what reads are told, then and while it is not repeated', async () => {
  const silent = {
    refreshed: () => undefined,
    tokensRefused: () => undefined,
    tokensAccepted: () => undefined,
  };
  const tokens = new TokenSource({ request: ask, observer: silent, longestPauseMs: 1000 });
  for (let time = 0; time < 2; time++) {
    const { cause } = await expectRefusedConnection(tokens.get([]));
    expect(cause).toBeInstanceOf(TokenFailure);
    expect(cause).toMatchObject({ code: 'ECONNREFUSED', cause: { code: 'ECONNREFUSED' } });
  }
});

it('a circuit that is open says of what', async () => {
  const told: unknown[] = [];
  const observer = {
    circuitOpened: (...why: unknown[]) => told.push(why),
    circuitClosed: () => undefined,
  };
  const circuit = new Circuit(observer, {
    state: () => ({ mode: 'local', windows: [], closedMs: 0 }),
    close: () => undefined,
  });
  for (let call = 0; call < 10; call++)
    await expectRefusedConnection(circuit.recordOutcome(send)({ ...read, jobId: `job ${call}` }));
  expect(told).toEqual([['connection', 'ECONNREFUSED']]);
  const refusal = await expectRefusedConnection(circuit.failFast(send)(read));
  expect(refusal).toMatchObject({ body: { code: 'ServiceUnavailable' }, cause: { name: 'UpstreamFailure' } });
});

it('keys of an issuer that cannot be had are the cause of what tokens are told', async () => {
  const told: unknown[] = [];
  const keys = new IssuerKeys({
    request: () => requestKeys(http, { issuer: url, jwksUrl: '', timeoutMs: 1000 }),
    observer: { keysLoaded: () => undefined, keysFailed: (...why: unknown[]) => told.push(why) },
  });
  const find = async () => keys.find({ alg: 'RS256' }, {} as FlattenedJWSInput);
  for (let time = 0; time < 2; time++) await expectRefusedConnection(find());
  expect(told).toEqual([['the discovery document request failed (ECONNREFUSED)', 'ECONNREFUSED']]);
});
