import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, expect, it, jest } from '@jest/globals';
import { Gateway } from '../support/gateway.ts';
import { readJob } from '../support/reads.ts';
import { atEnd, startUpstream, temporaryFolder } from '../support/rig.ts';

jest.setTimeout(60_000);

const MAIN = join(import.meta.dirname, '../../dist/main.js');
/** Timeout of a failing start, for a busy machine; it usually takes a fraction of a second. */
const START_TIMEOUT_MS = 15_000;
const MINIMUM = {
  HOST: '127.0.0.1',
  PORT: '0',
  AUTH: 'off',
  ITWIN_CLIENT_ID: 'id',
  ITWIN_CLIENT_SECRET: 'top-secret',
};

/** Starts the gateway in a folder and waits for its end. */
async function runToEnd(env: Readonly<Record<string, string>>, folder = temporaryFolder()) {
  const child = spawn(process.execPath, [MAIN], { cwd: folder, env, timeout: START_TIMEOUT_MS });
  const [stdout, stderr, [status]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'exit') as Promise<[number | null]>,
  ]);
  return { status, stdout, stderr };
}

describe('an invalid setting', () => {
  it.each([
    ['HOST', 'nowhere.invalid'],
    ['HOST', '203.0.113.7'],
    ['HOST', 'http://127.0.0.1'],
    ['HOST', 'localhost:3000'],
    ['HOST', '*'],
    ['PORT', '3000.0'],
    ['PORT', '0x10'],
    ['CORS_ORIGINS', 'https:a.example'],
    ['CORS_ORIGINS', 'https://a.example:0'],
    ['ITWIN_API_URL', 'https:api.example'],
    ['ITWIN_API_URL', 'https:///api.example'],
    ['ITWIN_API_URL', 'https://api.example:0'],
    ['ITWIN_API_URL', 'https://api.\texample'],
    ['ITWIN_API_URL', String.raw`https:\\api.example`],
    ['ITWIN_TOKEN_URL', 'https://me:pass-word@ims.example/token'],
    ['ITWIN_TOKEN_URL', 'https://ims.example/token#a'],
    ['ITWIN_CLIENT_ID', 'a\rb'],
    ['ITWIN_CLIENT_ID', '"id"'],
    ['ITWIN_CLIENT_ID', 'ïd'],
    ['ITWIN_CLIENT_SECRET', 'pass\nword'],
    ['ITWIN_CLIENT_SECRET', "'pass-word'"],
    ['ITWIN_CLIENT_SECRET_FILE', '/nowhere/pass-word'],
    ['ITWIN_SCOPE', 'one,"two"'],
    ['ITWIN_SCOPE', 'one  two'],
    ['UPSTREAM_LIMITS', '1e3/1m'],
    ['UPSTREAM_LIMITS', '500/1M'],
    ['UPSTREAM_LIMITS', '500 per 1m'],
    ['PATIENCE', '5 s'],
    ['PATIENCE', '1e3ms'],
    ['PATIENCE', '-5s'],
    ['UPSTREAM_TIMEOUT', '10'],
    ['MEMORY_CACHE_SIZE', '64 mb'],
    ['REDIS_URL', 'redis://127.0.0.1/abc'],
    ['REDIS_URL', 'redis://127.0.0.1/-1'],
    ['REDIS_URL', 'redis://127.0.0.1/1/2'],
    ['REDIS_URL', 'redis://127.0.0.1/1.5'],
    ['REDIS_URL', 'redis://127.0.0.1/9999999999'],
    ['REDIS_URL', 'redis://127.0.0.1/0?db=3'],
    ['REDIS_URL', 'redis://127.0.0.1#a'],
    ['REDIS_URL', 'redis://127.0.0.1:99999'],
    ['REDIS_URL', 'redis://127.0.0.1:0'],
    ['REDIS_URL', 'redis:host'],
    ['REDIS_URL', 'redis:///tmp/redis.sock'],
    ['REDIS_URL', 'unix:///tmp/redis.sock'],
    ['REDIS_URL', '/tmp/redis.sock'],
    ['REDIS_URL', 'redis://::1:6379'],
    ['REDIS_URL', 'redis://:pass word@redis example'],
    ['REDIS_SENTINELS', '[::]]:1'],
    ['REDIS_CLUSTER', '[1.2]:6379'],
    ['REDIS_CLUSTER', 'redis..example:6379'],
    ['AUTH', 'Keys'],
    ['CALLERS_FILE', '/nowhere'],
    ['CALLERS_FILE', '.'],
    ['JWT_ISSUER', 'https:issuer.example'],
    ['JWT_JWKS_URL', 'https://issuer.example:0/keys'],
    ['LOG_LEVEL', 'INFO'],
    ['OTEL_EXPORTER_OTLP_ENDPOINT', 'http:collector'],
    ['OTEL_EXPORTER_OTLP_ENDPOINT', 'http://collector:99999'],
    ['OTEL_EXPORTER_OTLP_ENDPOINT', 'http://col lector'],
    ['HTTPS_PROXY', 'proxy:3128'],
    ['HTTPS_PROXY', 'http:proxy'],
    ['https_proxy', 'http://me:%zz@proxy'],
  ])('ends the process with status 78 and its name: %s=%j', async (name, value) => {
    const auth = name === 'CALLERS_FILE' ? { AUTH: 'keys' } : {};
    const isFileVariant = name.endsWith('_FILE') && name !== 'CALLERS_FILE';
    const given = isFileVariant ? { [name.replace(/_FILE$/, '')]: '' } : {};
    const master = name === 'REDIS_SENTINELS' ? { REDIS_SENTINEL_NAME: 'jobs' } : {};
    // Only with this setting is an address of another machine tried.
    const host = name === 'HOST' ? { AUTH_OFF_BEHIND_TRUSTED_NETWORK: 'yes' } : {};
    const env = { ...MINIMUM, ...auth, ...given, ...host, ...master, [name]: value };
    const { status, stdout, stderr } = await runToEnd(env);
    expect(status).toBe(78);
    expect(stdout).not.toContain('listening');
    expect(stderr.split('\n').filter((line) => line.startsWith('  '))).toEqual([
      expect.stringMatching(new RegExp(`^  ${name}: \\S`)),
    ]);
    expect(stderr).not.toMatch(/pass.?word|top-secret|\n +at /);
  });

  it('is reported for a .env file that cannot be read, or is not UTF-8', async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, '.env'), Buffer.from('\uFEFFPORT=0\n', 'utf16le'));
    expect(await runToEnd(MINIMUM, folder)).toMatchObject({
      status: 78,
      stderr: 'invalid settings:\n  .env: must be UTF-8 text\n',
    });
    const another = temporaryFolder();
    mkdirSync(join(another, '.env'));
    expect(await runToEnd(MINIMUM, another)).toMatchObject({
      status: 78,
      stderr: 'invalid settings:\n  .env: cannot be read (EISDIR)\n',
    });
  });
});

describe('blanks around a value', () => {
  it('are ignored, as is the byte order mark of a file', async () => {
    const upstream = await startUpstream();
    const { id } = upstream.addJob();
    const folder = temporaryFolder();
    const { clientId, clientSecret } = upstream.settings;
    const secret = join(folder, 'secret');
    writeFileSync(secret, `\uFEFF${clientSecret} \r\n`);
    const env = {
      HOST: ' 127.0.0.1\r',
      PORT: '0\r',
      ITWIN_API_URL: `${upstream.url} `,
      ITWIN_TOKEN_URL: `\t${upstream.tokenUrl}\r`,
      ITWIN_CLIENT_ID: `${clientId}\r\n`,
      ITWIN_CLIENT_SECRET: ' ',
      ITWIN_CLIENT_SECRET_FILE: `${secret}\r`,
      UPSTREAM_LIMITS: ' 100/1m, 1000/1h\r',
      REDIS_URL: '\r',
      NO_PROXY: '127.0.0.1\r',
      HTTPS_PROXY: ' http://127.0.0.1:1\r',
      DRAIN_DELAY: '0ms\r',
      LOG_LEVEL: 'info\r',
    };
    const gateway = await Gateway.start({ upstream, env });
    atEnd(() => gateway.stop());
    expect((await readJob(gateway, id)).status).toBe(200);
  });

  it('are ignored in a .env file and a callers file from Windows', async () => {
    const upstream = await startUpstream();
    const { id } = upstream.addJob();
    const folder = temporaryFolder();
    const { clientId, clientSecret } = upstream.settings;
    writeFileSync(
      join(folder, '.env'),
      `\uFEFFITWIN_CLIENT_ID=${clientId} \r\nITWIN_CLIENT_SECRET="${clientSecret}"\r\nLOG_LEVEL=info\r\n`,
    );
    const gateway = await Gateway.start({
      upstream,
      program: { command: [process.execPath, MAIN], cwd: folder, env: {} },
      without: ['ITWIN_CLIENT_ID', 'ITWIN_CLIENT_SECRET'],
      callersText: (json) => `\uFEFF${json}\r\n`,
    });
    atEnd(() => gateway.stop());
    expect((await readJob(gateway, id)).status).toBe(200);
  });
});
