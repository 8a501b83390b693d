import { spawnSync } from 'node:child_process';
import { availableParallelism, cpus, release } from 'node:os';
import { canPin, pathWithSbin } from './pinned.ts';

/** What a program says of its version, wherever it says it. */
function versionOf(program: string, flag: string): string {
  const { stdout, stderr } = spawnSync(program, [flag], { env: { PATH: pathWithSbin() }, encoding: 'utf8' });
  return /\d+\.\d+[\w.]*/.exec(`${stdout}${stderr}`)?.[0] ?? 'none';
}

/** The commit that was measured, with a plus when something was changed since. */
function revision(): string {
  const git = (...args: string[]): string => spawnSync('git', args, { encoding: 'utf8' }).stdout.trim();
  return (
    git('rev-parse', '--short', 'HEAD') +
    (git('status', '--porcelain', 'src', 'test/bench') === '' ? '' : '+')
  );
}

/** Where it was measured: figures of two machines cannot be compared, ratios can. */
export function machine() {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    pinned: canPin,
    kernel: release(),
    node: process.version,
    redis: versionOf('redis-server', '--version'),
    wrk: versionOf('wrk', '-v'),
    nginx: versionOf('nginx', '-v'),
    varnish: versionOf('varnishd', '-V'),
    revision: revision(),
  };
}
