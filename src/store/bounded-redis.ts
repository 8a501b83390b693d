import { Redis } from 'ioredis';
import { RoundTrip } from '../round-trip.ts';
import { LONGEST_COMMAND_MS } from './redis-options.ts';

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
    command.setTimeout(this.status === 'ready' ? this.roundTrip.timeoutMs : LONGEST_COMMAND_MS);
    observe(this.roundTrip, command);
    return super.sendCommand(command, ...rest);
  }
}

/** Takes the time of a command as a sample, unless it fails. */
export function observe(roundTrip: RoundTrip, command: Command): void {
  const since = performance.now();
  command.promise.then(
    () => {
      roundTrip.observe(performance.now() - since);
    },
    () => undefined,
  );
}
