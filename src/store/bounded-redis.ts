import { Redis } from 'ioredis';
import { type Clock, systemClock } from '../clock.ts';
import { RoundTrip } from '../round-trip.ts';
import { COMMAND_TIMED_OUT, LONGEST_COMMAND_MS } from './redis-options.ts';

type Send = Redis['sendCommand'];
type Command = Parameters<Send>[0];

/**
 * A client of one server whose command timeout follows the measured round-trip time. Commands sent while connecting
 * have the longest timeout and are the first samples, so that the distance of a server is known before the first read
 * uses it.
 */
export class BoundedRedis extends Redis {
  // Initialized in time: ioredis sends no command in its constructor.
  readonly roundTrip = new RoundTrip();

  override sendCommand(...[command, ...rest]: Parameters<Send>): ReturnType<Send> {
    limitCommandTime(
      command,
      this.roundTrip,
      this.status === 'ready' ? this.roundTrip.timeoutMs : LONGEST_COMMAND_MS,
    );
    return super.sendCommand(command, ...rest);
  }
}

/**
 * Rejects a command after a timeout; the duration of a successful one is a sample of the round-trip time. A reply that
 * arrived while the process was busy is still read, unlike with ioredis' own `commandTimeout`.
 * @param onTimeout called before the command is rejected
 */
export function limitCommandTime(
  command: Command,
  roundTrip: RoundTrip,
  timeoutMs: number,
  clock: Clock = systemClock,
  onTimeout: () => void = () => undefined,
): void {
  const since = clock.now();
  const timeOut = (): void => {
    onTimeout();
    command.reject(new Error(COMMAND_TIMED_OUT));
  };
  const cancel = clock.after(timeoutMs, () => setImmediate(timeOut));
  command.promise.then(() => {
    cancel();
    roundTrip.observe(clock.now() - since);
  }, cancel);
}
