import { spawnSync } from 'node:child_process';
import { pathWithSbin } from './pinned.ts';

/** Whether a server is at hand that only some machines have. */
export function isInstalled(program: string): boolean {
  return spawnSync('which', [program], { env: { PATH: pathWithSbin() } }).status === 0;
}
