/**
 * Prepares a checkout, so that one npm command is enough on a new machine:
 *
 *   node test/setup/prepare.mjs               dependencies and Node 24
 *   node test/setup/prepare.mjs --redis       and redis-server, started by the tests; in CI also Valkey, if available
 *   node test/setup/prepare.mjs --nginx       and nginx, used by test/faults
 *   node test/setup/prepare.mjs --kubectl     and kubectl, for one test file, which alone fails without it
 *   node test/setup/prepare.mjs --bench       and wrk for load; nginx and Varnish to compare with, if available
 *   node test/setup/prepare.mjs --chromium    and Chromium, for the tests of the pages
 *
 * It runs before anything is installed, so it uses Node's built-ins only, and no syntax newer than Node 20. Programs that
 * are installed already are left alone; one in an unsuitable version is reported. Every installation is announced with
 * its command. A fault is one line on stderr and exit code 1.
 *
 * Why package.json calls it twice, before a script ("pretest") and in it: the shell remembers where it found `node`, so
 * the rest of a script would not use a Node 24 that the script itself installed. npm skips the "pre" scripts if install
 * scripts are off; then the second call reports it.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fetchValkey } from './fetch-valkey.mjs';

const NODE_MAJOR = 24;
const root = fileURLToPath(new URL('../../', import.meta.url));
const modules = join(root, 'node_modules');
const bin = join(modules, '.bin');
const stamp = join(modules, '.prepared-for-lock');

/** The PATH without npm's entry for this project, which does not exist while `npm ci` runs. */
const outerPath = (process.env.PATH ?? '')
  .split(delimiter)
  .filter((folder) => folder !== bin)
  .join(delimiter);

class Fault extends Error {}

/** Installs the dependencies, unless that has been done for this lock file. */
function installDependencies() {
  const lock = createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === lock) return;
  console.error('Installing the dependencies (npm ci) …');
  const { status } = spawnSync('npm ci --include=dev --no-audit --no-fund --loglevel=error', {
    cwd: root,
    env: { ...process.env, PATH: outerPath },
    shell: true,
    stdio: 'inherit',
  });
  if (status !== 0) throw new Fault('npm ci failed (see above): the dependencies are not installed.');
  writeFileSync(stamp, lock);
}

/** Checks the Node that npm scripts will use. */
function requireNode() {
  if (isNewEnough(process.version) && existsSync(process.execPath)) return;
  const PATH = [bin, outerPath].join(delimiter);
  const found = spawnSync('node --version', { env: { ...process.env, PATH }, shell: true, encoding: 'utf8' });
  const version = found.stdout.trim();
  if (isNewEnough(version)) return;
  throw new Fault(
    `Node ${NODE_MAJOR} is needed, this is ${version || process.version}: the npm package "node" brings it, but its ` +
      `install script is off; run "npm rebuild node --ignore-scripts=false" or install Node ${NODE_MAJOR}.`,
  );
}

const REDIS = {
  look: 'redis-server --version',
  name: 'redis-server',
  homebrew: 'redis',
  what: 'Redis 7 or newer',
};
const NGINX = { look: 'nginx -v', name: 'nginx', homebrew: 'nginx', what: 'nginx' };

const WRK = { look: 'which wrk', name: 'wrk', homebrew: 'wrk', what: 'wrk' };

/** The benchmarks leave out contenders that are not installed. */
function askForCaches() {
  for (const [look, name] of [
    ['nginx -v', 'nginx'],
    ['varnishd -V', 'varnish'],
  ]) {
    if (runs(look)) continue;
    install(name);
    if (!runs(look)) console.error(`${name} could not be installed: the benchmarks go without it.`);
  }
}

function requireServer({ look, name, homebrew, what }) {
  if (runs(look)) return;
  install(name);
  if (runs(look)) return;
  throw new Fault(
    `${name} is needed and could not be installed: install ${what} so that ${name} is on the PATH ` +
      `(Debian, Ubuntu: "sudo apt-get install ${name}"; macOS: "brew install ${homebrew}").`,
  );
}

/** The tests of the pages use Debian's Chromium, or the one at CHROMIUM_PATH. */
function requireChromium() {
  const { CHROMIUM_PATH, CHROMIUM_PATH: path = '/usr/bin/chromium' } = process.env;
  if (existsSync(path)) return;
  if (CHROMIUM_PATH === undefined) install('chromium');
  if (existsSync(path)) return;
  throw new Fault(
    `Chromium is needed by the tests of the console and is not at ${path}: install it (Debian: "sudo apt-get install chromium") ` +
      'or say in CHROMIUM_PATH where a Chromium or Chrome is.',
  );
}

/** A kubectl that is too old is left alone. A missing one ends nothing: the one test file that needs it says so. */
function askForKubectl() {
  if (runs(RENDER)) return;
  const isThere = runs('kubectl version --client') || runs('kubectl help');
  if (!isThere) install('kubernetes-client');
  if (runs(RENDER)) return;
  const why = isThere
    ? 'the one on the PATH cannot render the manifests and is left as it is'
    : 'it could not be installed';
  console.error(
    `kubectl is needed by test/production/kubernetes.spec.ts, and ${why}: put kubectl 1.27 or newer on the PATH.`,
  );
}

/** One test file uses Valkey too, if it is available. */
function askForValkey() {
  const folder = join(modules, '.cache/valkey');
  if (runs('valkey-server --version') || runs(`"${join(folder, 'valkey-server')}" --version`)) return;
  console.error('Fetching Valkey (apt-get) …');
  if (!fetchValkey(folder))
    console.error('Valkey could not be fetched: test/e2e/redis-versions.spec.ts goes without it.');
}

const RENDER = `kubectl kustomize "${join(root, 'config/kubernetes/base')}"`;

/** Installs a package on Debian-based systems, as root or with a sudo that asks no password. */
function install(name) {
  const asRoot = process.getuid?.() === 0 ? [] : ['sudo', '-n'];
  if (!runs('apt-get --version') || !runs([...asRoot, 'true'].join(' '))) return;
  const [command, ...args] = [...asRoot, 'sh', '-c', APT_INSTALL, 'sh', name];
  console.error(
    `Installing ${name}: ${[...asRoot, 'apt-get install --no-install-recommends', name].join(' ')} …`,
  );
  spawnSync(command, args, { stdio: ['ignore', 'ignore', 'inherit'] });
}

/** Tests start their own servers: a temporary policy keeps the package from starting one as a service. */
const APT_INSTALL = `
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  trap 'rm -f "$policy"' EXIT INT TERM
  printf '#!/bin/sh\\nexit 101\\n' > $policy
  chmod 755 $policy
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq -o DPkg::Lock::Timeout=120 install --no-install-recommends "$1"
`;

function runs(command) {
  return spawnSync(command, { shell: true, stdio: 'ignore' }).status === 0;
}

function isNewEnough(version) {
  return Number(/^v(\d+)\./.exec(version)?.[1]) >= NODE_MAJOR;
}

try {
  installDependencies();
  requireNode();
  if (process.argv.includes('--redis')) requireServer(REDIS);
  if (process.argv.includes('--redis') && process.env.CI) askForValkey();
  if (process.argv.includes('--nginx')) requireServer(NGINX);
  if (process.argv.includes('--bench')) {
    requireServer(WRK);
    askForCaches();
  }
  if (process.argv.includes('--kubectl')) askForKubectl();
  if (process.argv.includes('--chromium')) requireChromium();
} catch (error) {
  console.error(error instanceof Fault ? error.message : `The checkout cannot be prepared: ${error.message}`);
  process.exitCode = 1;
}
