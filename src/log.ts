import { pino, type Logger } from 'pino';

/** JSON lines on standard output, ISO times. What could hold a secret is taken out wherever it might turn up. */
export function createLog(level: string): Logger {
  return pino({
    level,
    timestamp: pino.stdTimeFunctions.isoTime,
    redact: {
      paths: ['*.authorization', '*.headers', '*.config', '*.request', 'err.config', 'err.request'],
      remove: true,
    },
  });
}
