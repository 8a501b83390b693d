import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { buildImage, type Image } from '../support/image.ts';
import { jobIds, readJob } from '../support/reads.ts';
import { freePort } from '../support/ports.ts';
import { startUpstream, startGateway } from '../support/rig.ts';

const ROOT = join(import.meta.dirname, '../..');
const folder = mkdtempSync(join(tmpdir(), 'image-'));
/** What the base image has of Node, where another user may run it. */
const node = join(folder, 'node');
let image: Image;
let app: string;

interface Manifest {
  readonly dependencies: Record<string, string>;
  readonly peerDependencies?: Record<string, string>;
}

interface LockFile {
  readonly packages: Record<string, { readonly dev?: boolean }>;
}

const manifest = (path: string): Manifest =>
  JSON.parse(readFileSync(join(path, 'package.json'), 'utf8')) as Manifest;

beforeAll(() => {
  chmodSync(folder, 0o755);
  cpSync(process.execPath, node);
  image = buildImage({ context: ROOT, folder });
  app = join(image.root, image.workdir);
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** As the image's user, where the tests may choose: then nothing of its tree can be written. */
function identity() {
  const [uid, gid] = image.user.split(':').map(Number) as [number, number];
  return process.getuid?.() === 0 ? { uid, gid } : {};
}

/** A command of the image as a program of this machine. */
function program(command: readonly string[]) {
  expect(command[0]).toBe('node');
  return { command: [node, ...command.slice(1)], cwd: app, env: image.env, ...identity() };
}

describe('the image', () => {
  it('starts with its entrypoint and command, as a user that owns no file, serves and is healthy', async () => {
    expect(process.versions.node).toMatch(/^24\./);
    expect(image.base).toMatch(/^node:24\b/);
    const upstream = await startUpstream({ unknownJobs: 'make' });
    const port = String(await freePort());
    const env = { PORT: port, AUTH: 'off', CALLERS_FILE: '' };
    const gateway = await startGateway({
      upstream,
      env,
      program: program([...image.entrypoint!, ...image.command!]),
    });
    expect((await readJob(gateway, jobIds(1)[0]!)).status).toBe(200);
    const check = async (own: Record<string, string>) => {
      const { command, ...options } = program(image.healthcheck!);
      const child = spawn(command[0]!, command.slice(1), { ...options, env: { ...options.env, ...own } });
      return ((await once(child, 'exit')) as [number])[0];
    };
    expect([await check({ PORT: port }), await check({ PORT: port, HOST: '127.0.0.1' })]).toEqual([0, 0]);
    expect(await check({ PORT: String(await freePort()) })).toBe(1);
    // A process that hangs takes connections all the same.
    gateway.signal('SIGSTOP');
    expect(await check({ PORT: port })).toBe(1);
    gateway.signal('SIGCONT');
    expect(await gateway.stop()).toBe(0);
  });

  it('contains the other commands', async () => {
    const run = (path: string) => {
      const { command, ...options } = program(['node', path]);
      const child = spawn(command[0]!, command.slice(1), { ...options, stdio: 'ignore' });
      return once(child, 'exit');
    };
    // Told nothing, both say how they are used.
    expect(await run('dist/store/forget.js')).toEqual([64, null]);
    expect(await run('dist/callers/new-caller.js')).toEqual([64, null]);
  });

  it('has labels, is not root, and needs no shell', () => {
    const [uid, gid] = image.user.split(':').map(Number);
    expect(uid).toBeGreaterThan(0);
    expect(gid).toBeGreaterThan(0);
    for (const command of [image.entrypoint, image.command, image.healthcheck]) {
      expect(command).toBeDefined();
      expect(command!.join(' ')).not.toMatch(/\bsh\b|npm/);
    }
    const labels = ['title', 'description', 'version', 'revision', 'base.name'];
    for (const label of labels) expect(image.labels[`org.opencontainers.image.${label}`]).toMatch(/\w/);
    expect(image.env['REVISION']).toBe(image.labels['org.opencontainers.image.revision']);
    expect(image.labels['org.opencontainers.image.base.name']).toBe(`docker.io/library/${image.base}`);
  });

  it('contains neither the fake upstream nor tools of tests or build', () => {
    expect(readdirSync(app).sort()).toEqual(['dist', 'node_modules', 'package.json']);
    const built = readdirSync(join(app, 'dist'), { recursive: true, encoding: 'utf8' });
    expect(built.filter((path) => /spec|fake-upstream|demo/.test(path))).toEqual([]);
    // The lock file marks what only the development needs; a type of `fastify` is needed there, its code by Nest's
    // adapter.
    const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as LockFile;
    const tools = Object.keys(packages).filter((path) => packages[path]?.dev);
    expect(tools).toEqual(
      expect.arrayContaining(
        ['jest', 'supertest', 'typescript', 'node'].map((name) => `node_modules/${name}`),
      ),
    );
    expect(tools.filter((path) => existsSync(join(app, path)))).toEqual([]);
  });

  it('contains no unused package', () => {
    const { dependencies } = manifest(app);
    const source = readdirSync(join(app, 'dist'), { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.js'))
      .map((path) => readFileSync(join(app, 'dist', path), 'utf8'))
      .join('\n');
    const imported = (name: string) => new RegExp(`from '${name}(/[^']*)?'|import '${name}'`).test(source);
    const peers = Object.keys(dependencies)
      .filter(imported)
      .flatMap((name) => Object.keys(manifest(join(app, 'node_modules', name)).peerDependencies ?? {}));
    const unneeded = Object.keys(dependencies).filter((name) => !imported(name) && !peers.includes(name));
    expect(unneeded).toEqual([]);
  });

  it('contains only build output of the checkout: no settings, no secrets', () => {
    const own = readdirSync(app, { recursive: true, encoding: 'utf8' })
      .filter((path) => !path.startsWith('node_modules/') && statSync(join(app, path)).isFile())
      .filter((path) => !/^dist\/.*\.(js|d\.ts|map|lua|css|html|svg)$/.test(path));
    expect(own).toEqual(['package.json']);
  });
});
