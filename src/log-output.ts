import { pino } from 'pino';

/** Most bytes that wait to be written, some ten thousand lines; further lines are dropped. */
const MOST_BUFFERED = 4 * 2 ** 20;
/** How long the process waits at its end for the remaining lines to be read, in milliseconds. */
const LONGEST_FLUSH_MS = 500;

export interface LogOutputEvents {
  /** A line was dropped. */
  readonly onDropped: () => void;
  /** The backlog is written. @param lines how many were dropped meanwhile */
  readonly onResumed: (lines: number) => void;
}

/**
 * Standard output as a destination for pino: written in the background, so that a slow or stopped reader delays no
 * request. The backlog is bounded, and no fault of the output (a closed terminal, a full disk) ends the process.
 */
export function logOutput({ onDropped, onResumed }: LogOutputEvents): ReturnType<typeof pino.destination> {
  let dropped = 0;
  let giveUpAt = Infinity;
  let isFailing = false;
  const drop = (): void => {
    dropped++;
    onDropped();
  };
  const output = pino.destination({
    dest: process.stdout.fd,
    sync: false,
    maxLength: MOST_BUFFERED,
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
    isFailing = false;
  });
  output.on('error', ({ code }: NodeJS.ErrnoException) => {
    // Pino tries again with the next line.
    isFailing = true;
    if (code !== 'EPIPE') return;
    // The reader is gone for good.
    output.write = () => {
      drop();
      return true;
    };
  });
  const flushSync = output.flushSync.bind(output);
  output.flushSync = () => {
    // Pino would try for ever: it asks `retryEAGAIN` about a slow reader alone.
    if (isFailing) return;
    giveUpAt = performance.now() + LONGEST_FLUSH_MS;
    try {
      flushSync();
    } catch {
      // The lines are lost. The process still ends, and keeps its exit status.
    }
  };
  return output;
}
