import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

const ROOT = join(import.meta.dirname, '../..');
const folder = mkdtempSync(join(tmpdir(), 'production-'));

interface Manifest {
  readonly dependencies: Record<string, string>;
  readonly peerDependencies?: Record<string, string>;
}

interface LockFile {
  readonly packages: Record<string, { readonly dev?: boolean }>;
}

const manifest = (path: string): Manifest =>
  JSON.parse(readFileSync(join(path, 'package.json'), 'utf8')) as Manifest;

/** What the image has: the manifest, the lock file, the production dependencies and the build. */
beforeAll(() => {
  for (const name of ['package.json', 'package-lock.json', 'dist']) {
    cpSync(join(ROOT, name), join(folder, name), { recursive: true });
  }
  const flags = [
    '--omit=dev',
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
    '--prefer-offline',
  ];
  execFileSync('npm', ['ci', ...flags], { cwd: folder, stdio: 'pipe' });
}, 180_000);

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe('the production install', () => {
  it('starts under Node 24', async () => {
    expect(process.versions.node).toMatch(/^24\./);
    const env = {
      HOST: '127.0.0.1',
      PORT: '0',
      AUTH: 'off',
      ITWIN_CLIENT_ID: 'id',
      ITWIN_CLIENT_SECRET: 'secret',
      DRAIN_DELAY: '0ms',
    };
    const gateway = spawn(process.execPath, ['dist/main.js'], {
      cwd: folder,
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const exited = once(gateway, 'exit');
    const url = await new Promise<string>((resolve, reject) => {
      void exited.then(() => reject(new Error('it has ended')));
      createInterface(gateway.stdout).on('line', (line) => {
        const { msg, url: address } = JSON.parse(line) as { msg: string; url?: string };
        if (msg === 'listening' && address) resolve(address);
      });
    });
    const ready = await fetch(`${url}/health/ready`);
    expect(ready.status).toBe(200);
    gateway.kill('SIGTERM');
    expect((await exited)[0]).toBe(0);
  });

  it('has neither the double nor any tool of the tests or the build', () => {
    const built = readdirSync(join(folder, 'dist'), { recursive: true, encoding: 'utf8' });
    expect(built.filter((path) => /spec|simulator|double|demo/.test(path))).toEqual([]);
    // The lock file marks what only the development needs; a type of `fastify` is needed there, its code by Nest's adapter.
    const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as LockFile;
    const tools = Object.keys(packages).filter((path) => packages[path]?.dev);
    expect(tools).toEqual(
      expect.arrayContaining(
        ['jest', 'supertest', 'typescript', 'node'].map((name) => `node_modules/${name}`),
      ),
    );
    expect(tools.filter((path) => existsSync(join(folder, path)))).toEqual([]);
  });

  it('has no package that nothing needs', () => {
    const { dependencies } = manifest(folder);
    const source = readdirSync(join(folder, 'dist'), { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.js'))
      .map((path) => readFileSync(join(folder, 'dist', path), 'utf8'))
      .join('\n');
    const imported = (name: string) => new RegExp(`from '${name}(/[^']*)?'|import '${name}'`).test(source);
    const peers = Object.keys(dependencies)
      .filter(imported)
      .flatMap((name) => Object.keys(manifest(join(folder, 'node_modules', name)).peerDependencies ?? {}));
    const unneeded = Object.keys(dependencies).filter((name) => !imported(name) && !peers.includes(name));
    expect(unneeded).toEqual([]);
  });
});
