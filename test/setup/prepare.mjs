/**
 * Makes a checkout ready to work with, so that one npm command is enough on a new machine:
 *
 *   node test/setup/prepare.mjs               dependencies and Node 24
 *   node test/setup/prepare.mjs --redis       and redis-server, which the tests start themselves; in CI Valkey as well, where it can be had
 *   node test/setup/prepare.mjs --nginx       and nginx, which the runs with faults put before gateways
 *   node test/setup/prepare.mjs --kubectl     and kubectl, which one test file renders the manifests with: without it that file alone fails
 *   node test/setup/prepare.mjs --bench       and wrk, which makes the load of the benchmarks; nginx and Varnish, which they compare with, where these can be had
 *   node test/setup/prepare.mjs --chromium    and Chromium, for the tests of the console
 *
 * It runs before anything is installed: Node's built-ins alone, and no syntax that Node 20 does not know. What is at
 * hand already is left alone, without a word; so is what is there in another version, with one. What is installed is named, with the
 * command that does it. A fault is one line on stderr and exit code 1.
 *
 * Why package.json calls it twice, before a script ("pretest") and in it: the shell remembers where it has found `node`,
 * so that a Node 24 installed by the script itself would not be seen by the rest of it; and npm skips the "pre" scripts
 * where install scripts are off, which is when there is something to say.
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

/** The PATH without what npm puts before it for this project: that is gone while `npm ci` runs. */
const outerPath = (process.env.PATH ?? '')
  .split(delimiter)
  .filter((folder) => folder !== bin)
  .join(delimiter);

class Fault extends Error {}

/** Installs what package-lock.json says, unless that has been done for this very lock file. */
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

/** Checks the Node that the npm scripts will get. */
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

/** The benchmarks leave out whom they cannot compare with. */
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

/** The tests of the console look for it where Debian puts it, or where CHROMIUM_PATH says. */
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

/** One that is too old for the manifests is somebody's all the same. Its absence ends nothing: the one test file that needs it says so. */
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

/** One test file tries Valkey as well, where it is at hand. */
function askForValkey() {
  const folder = join(modules, '.cache/valkey');
  if (runs('valkey-server --version') || runs(`"${join(folder, 'valkey-server')}" --version`)) return;
  console.error('Fetching Valkey (apt-get) …');
  if (!fetchValkey(folder))
    console.error('Valkey could not be fetched: test/e2e/redis-versions.spec.ts goes without it.');
}

const RENDER = `kubectl kustomize "${join(root, 'config/kubernetes/base')}"`;

/** Installs a package where that needs no questions: Debian's kin, as root or with a sudo that does not ask. */
function install(name) {
  const asRoot = process.getuid?.() === 0 ? [] : ['sudo', '-n'];
  if (!runs('apt-get --version') || !runs([...asRoot, 'true'].join(' '))) return;
  const [command, ...args] = [...asRoot, 'sh', '-c', APT_INSTALL, 'sh', name];
  console.error(
    `Installing ${name}: ${[...asRoot, 'apt-get install --no-install-recommends', name].join(' ')} …`,
  );
  spawnSync(command, args, { stdio: ['ignore', 'ignore', 'inherit'] });
}

/** The tests start their own servers: the policy keeps the package from starting one as a service, and goes again. */
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
