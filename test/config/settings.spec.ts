import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { loadSettings, SettingsError } from '../../src/config/settings.ts';
import { fromFiles, variables } from '../../src/config/variables.ts';

const ROOT = join(import.meta.dirname, '../..');
const required = { ITWIN_CLIENT_ID: 'id', ITWIN_CLIENT_SECRET: 'top-secret' };

function faultsOf(env: Record<string, string>): readonly string[] {
  try {
    loadSettings(env);
    return [];
  } catch (error) {
    if (error instanceof SettingsError) return error.faults;
    throw error;
  }
}

describe('the settings', () => {
  it('have the documented defaults (docs/CONTRACT.md, section 7)', () => {
    const settings = loadSettings(required);
    expect(settings.UPSTREAM_LIMITS).toEqual([
      { name: '1m', limit: 500, windowMs: 60_000 },
      { name: '1h', limit: 5000, windowMs: 3_600_000 },
    ]);
    expect(settings.PATIENCE).toBe(10_000);
    expect(settings.TERMINAL_TTL).toBe(30 * 24 * 3_600_000);
    expect(settings.MEMORY_CACHE_SIZE).toBe(64 * 2 ** 20);
    expect(settings.ITWIN_API_URL).toBe('https://api.bentley.com');
    expect(Object.isFrozen(settings)).toBe(true);
  });

  it('round durations to whole milliseconds', () => {
    const { UPSTREAM_TIMEOUT, PATIENCE } = loadSettings({
      ...required,
      UPSTREAM_TIMEOUT: '10.5ms',
      PATIENCE: '1.5s',
    });
    expect([UPSTREAM_TIMEOUT, PATIENCE]).toEqual([11, 1500]);
  });

  it('treat an empty variable as unset', () => {
    expect(loadSettings({ ...required, PORT: '', REDIS_URL: '' }).PORT).toBe(3000);
  });

  it('report every fault at once, by name and without the value', () => {
    const faults = faultsOf({
      ITWIN_CLIENT_SECRET: 'top-secret',
      PORT: '70000',
      PATIENCE: 'ten seconds',
      UPSTREAM_LIMITS: '500/1m,9/60s',
      AUTH: 'token',
      REDIS_URL: 'http://user:pass-word@redis',
      ITWIN_API_URL: 'ftp://api',
      MEMORY_CACHE_SIZE: '64',
      LOG_LEVEL: 'loud',
    });
    expect(faults.map((fault) => fault.slice(0, fault.indexOf(':')))).toEqual([
      'PORT',
      'ITWIN_API_URL',
      'ITWIN_CLIENT_ID',
      'UPSTREAM_LIMITS',
      'PATIENCE',
      'MEMORY_CACHE_SIZE',
      'REDIS_URL',
      'AUTH',
      'LOG_LEVEL',
    ]);
    expect(faults.join()).not.toMatch(/top-secret|pass-word/);
  });

  it.each(['500/1m,,5000/1h', '0/1s', '5/1x', '5', '5/10ms', '1/1s,2/2s,3/3s,4/4s,5/5s', '99999999/1s'])(
    'refuse %j as limits',
    (limits) => {
      expect(faultsOf({ ...required, UPSTREAM_LIMITS: limits })).toHaveLength(1);
    },
  );

  it('refuse more replicas than a limit has calls', () => {
    const env = { ...required, UPSTREAM_LIMITS: '100/1m,20/1s' };
    expect(faultsOf({ ...env, REPLICAS: '20' })).toEqual([]);
    expect(faultsOf({ ...env, REPLICAS: '21' })).toEqual([
      'REPLICAS: must be no more than the calls of the smallest of UPSTREAM_LIMITS',
    ]);
    expect(faultsOf({ ...env, REPLICAS: '0' })).toHaveLength(1);
    expect(faultsOf({ ...env, UPSTREAM_LIMITS: 'none', REPLICAS: '21' })).toHaveLength(1);
  });

  it('refuse AUTH=off on a public address, unless AUTH_OFF_BEHIND_TRUSTED_NETWORK is set', () => {
    expect(faultsOf({ ...required, AUTH: 'off' })).toHaveLength(1);
    expect(faultsOf({ ...required, AUTH: 'off', HOST: '127.0.0.2' })).toEqual([]);
    expect(faultsOf({ ...required, AUTH: 'off', HOST: '::1' })).toEqual([]);
    expect(faultsOf({ ...required, AUTH: 'off', HOST: '127.0.0.1.example.com' })).toHaveLength(1);
    expect(faultsOf({ ...required, AUTH: 'off', AUTH_OFF_BEHIND_TRUSTED_NETWORK: 'yes' })).toEqual([]);
  });

  it('require an audience and a secure issuer with AUTH=jwt', () => {
    const tokens = { JWT_ISSUER: 'https://issuer.example/a/', JWT_AUDIENCE: 'gateway' };
    for (const AUTH of ['jwt', 'keys,jwt']) {
      expect(faultsOf({ ...required, ...tokens, AUTH })).toEqual([]);
      expect(faultsOf({ ...required, AUTH })).toEqual([
        `JWT_ISSUER: is required with AUTH=${AUTH}`,
        `JWT_AUDIENCE: is required with AUTH=${AUTH}`,
      ]);
    }
    expect(loadSettings({ ...required, ...tokens, AUTH: 'jwt' }).JWT_ISSUER).toBe(tokens.JWT_ISSUER);
    for (const url of ['http://127.0.0.1:1', 'http://localhost/a', 'http://[::1]:1', 'https://a/b?c=d']) {
      expect(faultsOf({ ...required, JWT_ISSUER: url, JWT_JWKS_URL: url })).toEqual([]);
    }
    for (const url of [
      'http://issuer',
      'http://127.0.0.1.example.com',
      'https://me:pass-word@a',
      'https://a#b',
      'a',
    ]) {
      const faults = faultsOf({ ...required, JWT_ISSUER: url, JWT_JWKS_URL: url });
      expect(faults.map((fault) => fault.split(':')[0])).toEqual(['JWT_ISSUER', 'JWT_JWKS_URL']);
      expect(faults.join()).not.toContain('pass-word');
    }
  });

  it('allow a missing callers file with AUTH=jwt if it was not set', () => {
    const checks: unknown[] = [];
    const load = (env: object) =>
      loadSettings(
        { ...required, JWT_ISSUER: 'https://a', JWT_AUDIENCE: 'a', HOST: '127.0.0.1', ...env },
        { CALLERS_FILE: (path, mayBeMissing) => [void checks.push([path, mayBeMissing])].slice(1) as never },
      );
    for (const AUTH of ['keys', 'jwt', 'keys,jwt', 'off']) load({ AUTH });
    load({ AUTH: 'jwt', CALLERS_FILE: 'mine.json' });
    const usual = 'config/callers.json';
    expect(checks).toEqual([
      [usual, false],
      [usual, true],
      [usual, false],
      ['mine.json', false],
    ]);
  });

  it('accept the base URL of a collector, without credentials, or none', () => {
    const endpoint = (OTEL_EXPORTER_OTLP_ENDPOINT: string) =>
      loadSettings({ ...required, CALLERS_FILE: 'a', OTEL_EXPORTER_OTLP_ENDPOINT })
        .OTEL_EXPORTER_OTLP_ENDPOINT;
    expect(['', 'http://collector:4318/', 'https://a/otlp'].map(endpoint)).toEqual([
      '',
      'http://collector:4318',
      'https://a/otlp',
    ]);
    for (const url of ['collector:4318', 'grpc://a', 'http://me:pass-word@a', 'http://a?key=pass-word']) {
      expect(faultsOf({ ...required, OTEL_EXPORTER_OTLP_ENDPOINT: url })).toEqual([
        'OTEL_EXPORTER_OTLP_ENDPOINT: must be a URL that begins with https:// or http://, without query, fragment or credentials',
      ]);
    }
  });

  it('have no default for the queue of a caller', () => {
    expect(loadSettings(required).CALLER_QUEUE).toBeUndefined();
    expect(loadSettings({ ...required, CALLER_QUEUE: '7' }).CALLER_QUEUE).toBe(7);
    expect(faultsOf({ ...required, CALLER_QUEUE: 'x' })).toEqual([
      'CALLER_QUEUE: must be a whole number from 1 to 100000',
    ]);
  });

  it('accept origins as browsers send them, and no others', () => {
    const originsOf = (text: string) => loadSettings({ ...required, CORS_ORIGINS: text }).CORS_ORIGINS;
    expect(originsOf('')).toEqual([]);
    expect(originsOf('*')).toEqual(['*']);
    expect(originsOf('https://a.example, http://b:8080')).toEqual(['https://a.example', 'http://b:8080']);
    for (const wrong of [
      'https://a.example/',
      'https://A.example',
      'https://a.example:443',
      'a.example',
      'null',
    ])
      expect(faultsOf({ ...required, CORS_ORIGINS: wrong })).toHaveLength(1);
    for (const wrong of ['https://*.example', '*,https://a.example', 'https://a.example,', 'file:///a'])
      expect(faultsOf({ ...required, CORS_ORIGINS: wrong })).toHaveLength(1);
  });

  it('refuse CORS for all origins with AUTH=off', () => {
    const off = { ...required, AUTH: 'off', HOST: '127.0.0.1' };
    expect(faultsOf({ ...off, CORS_ORIGINS: '*' })).toEqual([
      'CORS_ORIGINS: must name the origins where AUTH is off',
    ]);
    expect(faultsOf({ ...off, CORS_ORIGINS: 'https://a.example' })).toEqual([]);
  });

  it('read id and secret from mounted files, without the final newline', () => {
    const folder = mkdtempSync(join(tmpdir(), 'settings-'));
    const path = join(folder, 'secret');
    writeFileSync(path, 'from-a-file\n');
    const env = { ITWIN_CLIENT_ID: 'id', ITWIN_CLIENT_SECRET_FILE: path };
    expect(loadSettings(env).ITWIN_CLIENT_SECRET).toBe('from-a-file');
    expect(faultsOf({ ...env, ITWIN_CLIENT_SECRET: 'too' })).toHaveLength(1);
    expect(faultsOf({ ...env, ITWIN_CLIENT_SECRET_FILE: `${path}-missing` })).toEqual([
      'ITWIN_CLIENT_SECRET_FILE: cannot be read (ENOENT)',
    ]);
  });

  it('with faults end the process with status 78 and all faults on standard error, without listening', () => {
    const run = spawnSync(process.execPath, [join(ROOT, 'dist/main.js')], {
      cwd: tmpdir(),
      env: { PORT: 'x', ITWIN_CLIENT_SECRET: 'top-secret', CALLERS_FILE: '/nowhere/callers.json' },
      encoding: 'utf8',
    });
    expect(run.status).toBe(78);
    expect(run.stdout).toBe('');
    for (const name of ['PORT', 'ITWIN_CLIENT_ID', 'CALLERS_FILE'])
      expect(run.stderr).toContain(`  ${name}: `);
    expect(run.stderr).not.toContain('top-secret');
  });
});

describe('the documentation of the settings', () => {
  const names = Object.keys(variables);

  it('lists each in docs/SETTINGS.md with its default and description', () => {
    const page = readFileSync(join(ROOT, 'docs/SETTINGS.md'), 'utf8');
    for (const [name, variable] of Object.entries(variables)) {
      const shown =
        'default' in variable ? (variable.default === '' ? 'empty' : `\`${variable.default}\``) : 'required';
      expect(page).toContain(`| \`${name}\` | ${shown} | ${variable.about} |`);
    }
  });

  it('lists each in .env.example with its default, and nothing else', () => {
    const example = readFileSync(join(ROOT, '.env.example'), 'utf8');
    const lines = example
      .split('\n')
      .flatMap((line) => /^#? ?([A-Z_]+)=(.*)$/.exec(line)?.slice(1, 3).join('=') ?? []);
    const expected = Object.entries(variables).map(([name, variable]) =>
      'default' in variable ? `${name}=${variable.default}` : `${name}=`,
    );
    expect(lines).toEqual(expected);
    for (const [name, variable] of Object.entries(variables))
      expect(example).toContain(`# ${variable.about}\n${'default' in variable ? '# ' : ''}${name}=`);
    expect(names).toEqual(expect.arrayContaining([...fromFiles]));
  });
});
