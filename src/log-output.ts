import { pino } from 'pino';

/** Most that waits to be written, in bytes; what comes beyond is dropped. Some ten thousand lines. */
const MOST_WAITING = 4 * 2 ** 20;
/** How long the end of the process waits for a reader of what is left, in milliseconds. */
const LONGEST_FLUSH_MS = 500;

export interface LogOutputEvents {
  /** A line was dropped. */
  readonly onDropped: () => void;
  /** All that waited is written, after so many lines were dropped. */
  readonly onResumed: (lines: number) => void;
}

/**
 * Standard output as pino writes to it: in the background, so that a reader that is slow or has stopped holds up no request. What
 * waits for it is bounded, and nothing that becomes of it (a terminal that is gone, a disk that is full) ends the process.
 */
export function logOutput({ onDropped, onResumed }: LogOutputEvents): ReturnType<typeof pino.destination> {
  let dropped = 0;
  let giveUpAt = Infinity;
  let fails = false;
  const drop = (): void => {
    dropped++;
    onDropped();
  };
  const output = pino.destination({
    dest: process.stdout.fd,
    sync: false,
    maxLength: MOST_WAITING,
    retryEAGAIN: () => performance.now() < giveUpAt,
  });
  output.on('drop', drop);
  output.on('drain', () => {
    if (dropped === 0) return;
    const lines = dropped;
    dropped = 0;
    onResumed(lines);
  });
  output.on('write', () => {
    fails = false;
  });
  output.on('error', ({ code }: NodeJS.ErrnoException) => {
    // What could not be written is tried again with the next line.
    fails = true;
    if (code !== 'EPIPE') return;
    // Nobody will ever read again.
    output.write = () => {
      drop();
      return true;
    };
  });
  const flushSync = output.flushSync.bind(output);
  output.flushSync = () => {
    // It would be tried for ever: only of a reader that is slow does it ask whether to go on.
    if (fails) return;
    giveUpAt = performance.now() + LONGEST_FLUSH_MS;
    try {
      flushSync();
    } catch {
      // What nobody reads is lost: the process ends all the same, with the status that it has.
    }
  };
  return output;
}
