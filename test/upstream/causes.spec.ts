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

/** Expects an error whose causes contain the code but neither a secret nor the address. */
async function expectRefusedConnection(promise: Promise<unknown>): Promise<Error> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(codeOf(error)).toBe('ECONNREFUSED');
  const text = inspect(error, { depth: 20, showHidden: true });
  expect(text).toContain('ECONNREFUSED');
  expect(text.replace(/ +at .*/g, '')).not.toMatch(/is-secret|127\.0\.0\.1|authorization/i);
  return error as Error;
}

const send = () => transport(http, { apiUrl: url, timeoutMs: 1000 })(read, TOKEN);
const fetchToken = () =>
  requestToken(http, {
    url,
    clientId: 'id',
    clientSecret: 'that-is-secret',
    clientAuth: 'body',
    scope: 'a',
    timeoutMs: 1000,
  });

it('a failed call has its cause', async () => {
  expect(await expectRefusedConnection(send())).toMatchObject({
    name: 'UpstreamFailure',
    cause: { message: 'connect ECONNREFUSED', code: 'ECONNREFUSED' },
    call: { outcome: { status: 'connection', code: 'ECONNREFUSED' } },
  });
});

it('a failed token request is the cause of failed reads, also during its cooldown', async () => {
  const silent = {
    refreshed: () => undefined,
    tokensRefused: () => undefined,
    tokensAccepted: () => undefined,
  };
  const tokens = new TokenSource({ request: fetchToken, observer: silent, longestPauseMs: 1000 });
  for (let time = 0; time < 2; time++) {
    const { cause } = await expectRefusedConnection(tokens.get([]));
    expect(cause).toBeInstanceOf(TokenFailure);
    expect(cause).toMatchObject({ code: 'ECONNREFUSED', cause: { code: 'ECONNREFUSED' } });
  }
});

it('an open circuit has the cause that opened it', async () => {
  const openings: unknown[] = [];
  const observer = {
    circuitOpened: (...reason: unknown[]) => openings.push(reason),
    circuitClosed: () => undefined,
  };
  const circuit = new Circuit(observer, {
    state: () => ({ mode: 'local', windows: [], closedMs: 0 }),
    close: () => undefined,
  });
  for (let call = 0; call < 10; call++)
    await expectRefusedConnection(circuit.recordOutcome(send)({ ...read, jobId: `job ${call}` }));
  expect(openings).toEqual([['connection', 'ECONNREFUSED']]);
  const refusal = await expectRefusedConnection(circuit.failFast(send)(read));
  expect(refusal).toMatchObject({ body: { code: 'ServiceUnavailable' }, cause: { name: 'UpstreamFailure' } });
});

it('a failed request for issuer keys is the cause of refused tokens', async () => {
  const failures: unknown[] = [];
  const keys = new IssuerKeys({
    request: () => requestKeys(http, { issuer: url, jwksUrl: '', timeoutMs: 1000 }),
    observer: { keysLoaded: () => undefined, keysFailed: (...reason: unknown[]) => failures.push(reason) },
  });
  const find = async () => keys.find({ alg: 'RS256' }, {} as FlattenedJWSInput);
  for (let time = 0; time < 2; time++) await expectRefusedConnection(find());
  expect(failures).toEqual([['the discovery document request failed (ECONNREFUSED)', 'ECONNREFUSED']]);
});
