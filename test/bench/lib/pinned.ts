import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { createInterface } from 'node:readline';

/** The core for what is measured, and the one for all else: load, upstream, Redis. */
export const MEASURED = 0;
export const OTHERS = 1;

/** Whether processes can be kept on cores of their own here. */
export const canPin = availableParallelism() > 1 && spawnSync('taskset', ['-V']).status === 0;

/** A command that stays on one core, where the system allows that. */
export function pinned(core: number, command: readonly string[]): string[] {
  return canPin ? ['taskset', '-c', String(core), ...command] : [...command];
}

/** Starts something that is measured, on its core. What it writes to stderr is shown. */
export function startPinned(command: readonly string[], env: NodeJS.ProcessEnv = {}): ChildProcess {
  const [program = '', ...args] = pinned(MEASURED, command);
  return spawn(program, args, {
    env: { ...env, PATH: pathWithSbin() },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

/** Debian has servers where only root looks. */
export function pathWithSbin(): string {
  return `${process.env['PATH'] ?? ''}:/usr/sbin`;
}

export async function firstLineOf(child: ChildProcess): Promise<string> {
  if (!child.stdout) throw new Error('nothing is read of the process');
  const exit = once(child, 'exit').then(() => Promise.reject(new Error('the process has ended')));
  const [line] = (await Promise.race([once(createInterface(child.stdout), 'line'), exit])) as [string];
  child.stdout.resume();
  return line;
}

export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}

/** Linux counts processor time in hundredths of a second. */
const TICK_MS = 10;

/** Processor time that a process and its children have had, in milliseconds (proc(5)). */
export function cpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const own = (Number(fields[11]) + Number(fields[12])) * TICK_MS;
  return own + childrenOf(pid).reduce((sum, child) => sum + cpuMs(child), 0);
}

/** Resident memory of a process and its children, in bytes. */
export function residentBytes(pid: number): number {
  const kilobytes = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? 0;
  const own = Number(kilobytes) * 1024;
  return own + childrenOf(pid).reduce((sum, child) => sum + residentBytes(child), 0);
}

function childrenOf(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim();
  return children === '' ? [] : children.split(' ').map(Number);
}
