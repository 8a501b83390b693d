import { pino, type Logger } from 'pino';
import { logOutput } from './log-output.ts';

/**
 * Logs JSON lines with ISO times to standard output. Fields that could hold a secret are removed.
 * @param onDropped called for each line that was dropped because standard output is not read
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
