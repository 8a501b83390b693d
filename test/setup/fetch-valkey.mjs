/**
 * Puts a valkey-server beside the dependencies, for the tests of supported stores. Debian 12 has it in its backports. The
 * package is fetched and unpacked with separate apt lists, so that neither root nor a change of the machine's sources is
 * needed.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Server and tools are one program that acts by its name. The package of the tools starts no service. */
const PACKAGE = 'valkey-tools';
const PROGRAM = 'usr/bin/valkey-check-rdb';
const TIMEOUT_MS = 120_000;

/** @returns whether it could be fetched; not without apt-get or on another Debian */
export function fetchValkey(folder) {
  const scratch = mkdtempSync(join(tmpdir(), 'valkey-'));
  const run = (command, args) =>
    spawnSync(command, args, {
      cwd: scratch,
      encoding: 'utf8',
      timeout: TIMEOUT_MS,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
  try {
    const suite = suiteWithValkey();
    const archive = archiveOf(run);
    if (suite === undefined || archive === undefined) return false;
    for (const name of ['lists/partial', 'cache/archives/partial', 'unpacked'])
      mkdirSync(join(scratch, name), { recursive: true });
    const list = join(scratch, 'sources.list');
    writeFileSync(list, `deb ${archive} ${suite} main\n`);
    const options = Object.entries({
      'Dir::Etc::sourcelist': list,
      'Dir::Etc::sourceparts': '/dev/null',
      'Dir::State::lists': join(scratch, 'lists'),
      'Dir::Cache': join(scratch, 'cache'),
    }).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
    run('apt-get', [...options, 'update']);
    run('apt-get', [...options, 'download', `${PACKAGE}/${suite}`]);
    run('sh', ['-c', 'dpkg -x *.deb unpacked']);
    mkdirSync(folder, { recursive: true });
    const server = join(folder, 'valkey-server');
    copyFileSync(join(scratch, 'unpacked', PROGRAM), server);
    return run(server, ['--version']).status === 0;
  } catch {
    return false;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** The suite of this Debian that has Valkey. */
function suiteWithValkey() {
  const [, codename] = /^VERSION_CODENAME=(\w+)$/m.exec(readFileSync('/etc/os-release', 'utf8')) ?? [];
  return { bookworm: 'bookworm-backports', trixie: 'trixie' }[codename];
}

/** The Debian archive that this machine uses. */
function archiveOf(run) {
  const { stdout } = run('apt-get', ['indextargets', '--format', '$(REPO_URI)', 'Created-By: Packages']);
  return stdout?.split('\n').find((uri) => /\/debian\/?$/.test(uri));
}
