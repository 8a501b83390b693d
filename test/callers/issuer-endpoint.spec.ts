import type { RequestListener } from 'node:http';
import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { HttpService } from '@nestjs/axios';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import axios from 'axios';
import { requestKeys } from '../../src/callers/issuer-endpoint.ts';
import { httpClient } from '../../src/http/client.ts';

const KEYS = { keys: [{ kty: 'RSA', kid: 'a', n: 'AQAB', e: 'AQAB' }] };
const http = new HttpService(axios.create(httpClient({})));
let answers: Record<string, RequestListener> = {};
const asked: string[] = [];
const server = createServer((request, response) => {
  const path = request.url ?? '';
  asked.push(path);
  const answer = answers[path] ?? (() => response.writeHead(404).end());
  answer(request, response);
});
let url = '';

beforeAll(async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(async () => {
  server.close();
  server.closeAllConnections();
  await once(server, 'close');
});

const json =
  (body: unknown, status = 200): RequestListener =>
  (_, response) =>
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
const ask = (issuer: string, jwksUrl = '', timeoutMs = 30_000) =>
  requestKeys(http, { issuer, jwksUrl, timeoutMs });
const document = (more: object = {}) => json({ issuer: `${url}/a`, jwks_uri: `${url}/keys`, ...more });
const DISCOVERY = '/a/.well-known/openid-configuration';

describe('the keys of an issuer', () => {
  it.each(['', '/'])(
    'are at the jwks_uri of its discovery document, if the issuer ends in %j',
    async (end) => {
      const issuer = `${url}/a${end}`;
      answers = { [DISCOVERY]: document({ issuer }), '/keys': json(KEYS) };
      expect(await ask(issuer)).toEqual(KEYS);
    },
  );

  it('are at the URL of the setting, without a request for the document', async () => {
    answers = { '/elsewhere?v=1': json(KEYS) };
    asked.length = 0;
    expect(await ask(`${url}/a`, `${url}/elsewhere?v=1`)).toEqual(KEYS);
    expect(asked).toEqual(['/elsewhere?v=1']);
  });

  const redirect: RequestListener = (_, response) =>
    response.writeHead(302, { location: `${url}/keys` }).end();
  const large: RequestListener = (_, response) => {
    response.on('error', () => undefined);
    for (let part = 0; part < 20; part++) response.write(' '.repeat(32 * 1024));
    response.end(JSON.stringify(KEYS));
  };
  const slow: RequestListener = (_, response) => response.writeHead(200).flushHeaders();
  it.each<[string, () => Record<string, RequestListener>, RegExp]>([
    ['of another issuer', () => ({ [DISCOVERY]: document({ issuer: `${url}/b` }) }), /of another issuer/],
    ['without jwks_uri', () => ({ [DISCOVERY]: json({ issuer: `${url}/a` }) }), /has no valid jwks_uri/],
    [
      'with a file URL',
      () => ({ [DISCOVERY]: document({ jwks_uri: 'file:///etc/passwd' }) }),
      /has no valid jwks_uri/,
    ],
    ['missing', () => ({}), /discovery document request was answered 404/],
    ['that redirects', () => ({ [DISCOVERY]: redirect }), /discovery document request was answered 302/],
    [
      'whose key set redirects',
      () => ({ [DISCOVERY]: document(), '/keys': redirect }),
      /key set request was answered 302/,
    ],
    [
      'whose key set fails',
      () => ({ [DISCOVERY]: document(), '/keys': json(KEYS, 500) }),
      /key set request was answered 500/,
    ],
    [
      'whose key set is invalid',
      () => ({ [DISCOVERY]: document(), '/keys': json({ keys: [1] }) }),
      /key set is invalid/,
    ],
    [
      'with too many keys',
      () => ({ [DISCOVERY]: document(), '/keys': json({ keys: Array(101).fill(KEYS.keys[0]) }) }),
      /key set is invalid/,
    ],
    [
      'whose key set is not JSON',
      () => ({ [DISCOVERY]: document(), '/keys': (_, r) => r.end('<html>') }),
      /key set is not JSON/,
    ],
    [
      'whose key set is too large',
      () => ({ [DISCOVERY]: document(), '/keys': large }),
      /key set request failed/,
    ],
    ['whose key set is slow', () => ({ [DISCOVERY]: document(), '/keys': slow }), /key set request failed/],
    ['that is slow', () => ({ [DISCOVERY]: slow }), /discovery document request failed/],
  ])('are not loaded from a document %s', async (what, says, message) => {
    answers = says();
    await expect(ask(`${url}/a`, '', /slow/.test(what) ? 300 : 30_000)).rejects.toThrow(message);
  });

  it('are not loaded over HTTP if their issuer uses HTTPS', async () => {
    const get = async () => ({
      status: 200,
      data: JSON.stringify({ issuer: 'https://a', jwks_uri: `${url}/keys` }),
    });
    const tampered = { axiosRef: { get } } as unknown as HttpService;
    const asking = requestKeys(tampered, { issuer: 'https://a', jwksUrl: '', timeoutMs: 100 });
    await expect(asking).rejects.toThrow(/unprotected/);
  });
});
