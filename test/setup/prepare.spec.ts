import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';

/** A checkout with installed dependencies, first on the PATH. */
let folder: string;
let prepareScript: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'prepare-'));
  prepareScript = join(folder, 'test/setup/prepare.mjs');
  for (const name of ['prepare.mjs', 'fetch-valkey.mjs'])
    cpSync(join(import.meta.dirname, name), join(folder, 'test/setup', name));
  writeFileSync(join(folder, 'package-lock.json'), '{}');
  mkdirSync(join(folder, 'node_modules'));
  writeFileSync(
    join(folder, 'node_modules/.prepared-for-lock'),
    createHash('sha256').update('{}').digest('hex'),
  );
  // These record that they were called, and install nothing.
  for (const name of ['apt-get', 'sudo']) command(name, `echo "$@" >> ${join(folder, 'installed')}; exit 1`);
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

function command(name: string, script: string): void {
  writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
}

function prepare(argument: string, env: Readonly<Record<string, string>> = {}) {
  const { PATH = '' } = process.env;
  const { status, stderr } = spawnSync(process.execPath, [prepareScript, argument], {
    // In CI it would fetch Valkey as well.
    env: { ...process.env, CI: '', PATH: [folder, PATH].join(delimiter), ...env },
    encoding: 'utf8',
  });
  return { status, stderr, hasInstalled: existsSync(join(folder, 'installed')) };
}

describe('a program that the tests need', () => {
  it('is not installed over a kubectl of another version, which is reported', () => {
    command('kubectl', '[ "$1" != kustomize ]');
    const { status, stderr, hasInstalled } = prepare('--kubectl');
    expect([status, hasInstalled]).toEqual([0, false]);
    expect(stderr).toMatch(
      /^kubectl is needed .* left as it is: put kubectl 1\.27 or newer on the PATH\.\n$/,
    );
  });

  it('is not installed if it exists in any version, and nothing is reported', () => {
    command('redis-server', 'echo Redis server v=1.0.0');
    expect(prepare('--redis')).toEqual({ status: 0, stderr: '', hasInstalled: false });
  });

  it('is not installed if CHROMIUM_PATH names another Chromium', () => {
    const { status, stderr, hasInstalled } = prepare('--chromium', { CHROMIUM_PATH: join(folder, 'none') });
    expect([status, hasInstalled]).toEqual([1, false]);
    expect(stderr).toContain('Chromium is needed');
  });
});
