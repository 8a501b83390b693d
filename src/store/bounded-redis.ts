import { Redis } from 'ioredis';
import { type Clock, systemClock } from '../clock.ts';
import { RoundTrip } from '../round-trip.ts';
import { COMMAND_TIMED_OUT, LONGEST_COMMAND_MS } from './redis-options.ts';

type Send = Redis['sendCommand'];
type Command = Parameters<Send>[0];

/**
 * One server whose commands are waited for as long as its round-trip time suggests. What is asked while the connection is made, its
 * first samples, has the longest time: a server that is far is known to be far before anything is asked of it.
 */
export class BoundedRedis extends Redis {
  // ioredis sends nothing in its constructor.
  readonly roundTrip = new RoundTrip();

  override sendCommand(...[command, ...rest]: Parameters<Send>): ReturnType<Send> {
    bound(command, this.roundTrip, this.status === 'ready' ? this.roundTrip.timeoutMs : LONGEST_COMMAND_MS);
    return super.sendCommand(command, ...rest);
  }
}

/**
 * Lets a command fail after a time, and takes its own time as a sample unless it fails. An answer that has come while the process was busy
 * is read before the command is given up; ioredis' own timer gives it up first.
 */
export function bound(
  command: Command,
  roundTrip: RoundTrip,
  timeoutMs: number,
  clock: Clock = systemClock,
  onTimeout: () => void = () => undefined,
): void {
  const since = clock.now();
  const giveUp = (): void => {
    onTimeout();
    command.reject(new Error(COMMAND_TIMED_OUT));
  };
  const cancel = clock.after(timeoutMs, () => setImmediate(giveUp));
  command.promise.then(() => {
    cancel();
    roundTrip.observe(clock.now() - since);
  }, cancel);
}
