import { pino, type Logger } from 'pino';
import { logOutput } from './log-output.ts';

/**
 * JSON lines on standard output, ISO times. What could hold a secret is taken out wherever it might turn up.
 * @param onDropped told of each line for which there was no room, because nobody reads
 */
export function createLog(level: string, onDropped: () => void): Logger {
  const output = logOutput({
    onDropped,
    onResumed: (lines) => {
      log.warn({ lines }, 'log lines dropped: standard output was not read');
    },
  });
  const log = pino(
    {
      level,
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: {
        paths: ['*.authorization', '*.headers', '*.config', '*.request', 'err.config', 'err.request'],
        remove: true,
      },
    },
    output,
  );
  return log;
}
