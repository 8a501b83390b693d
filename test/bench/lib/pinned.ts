import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

/** The core for what is measured, and the one for all else: load, upstream, Redis, and what measures. */
export const MEASURED = 0;
export const OTHERS = 1;

/** Whether processes can be kept on these cores here. */
export const canPin = [MEASURED, OTHERS].every(
  (core) => spawnSync('taskset', ['-c', String(core), 'true']).status === 0,
);

/** Keeps this process, and what it starts without another word, from the core for what is measured. */
export function stayWithOthers(): void {
  if (canPin) spawnSync('taskset', ['-c', '-p', String(OTHERS), String(process.pid)]);
}

/** A command that stays on one core, where the system allows that. */
export function pinned(core: number, command: readonly string[]): string[] {
  return canPin ? ['taskset', '-c', String(core), ...command] : [...command];
}

const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** Starts something that is measured, on its core. What it writes to stderr is shown. It ends with this process at the latest. */
export function startPinned(command: readonly string[], env: NodeJS.ProcessEnv = {}): ChildProcess {
  const [program = '', ...args] = pinned(MEASURED, command);
  const child = spawn(program, args, {
    env: { ...env, PATH: pathWithSbin() },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  running.add(child);
  child.once('exit', () => running.delete(child));
  return child;
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

/** Only Linux tells of other processes this way; elsewhere such figures are missing. */
const knowsProcesses = existsSync('/proc/self/task');

/** Processor time that a process and its children have had, in milliseconds (the kernel's sched-stats.rst). */
export function cpuMs(pid: number): number {
  if (!knowsProcesses) return NaN;
  const threads = readdirSync(`/proc/${pid}/task`).map((thread) => {
    const [nanoseconds = ''] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1').split(' ');
    return Number(nanoseconds) / 1e6;
  });
  return [...threads, ...childrenOf(pid).map(cpuMs)].reduce((sum, ms) => sum + ms, 0);
}

/** Resident memory of a process and its children, in bytes (proc(5)). */
export function residentBytes(pid: number): number {
  if (!knowsProcesses) return NaN;
  const kilobytes = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? 0;
  return childrenOf(pid).reduce((sum, child) => sum + residentBytes(child), Number(kilobytes) * 1024);
}

function childrenOf(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim();
  return children === '' ? [] : children.split(' ').map(Number);
}
