import { codeOf } from '../errors/cause.ts';
import { DatabaseRefused } from './reconnecting-redis.ts';
import { COMMAND_TIMED_OUT } from './redis-options.ts';
import { replyCode } from './reply-code.ts';

/** Errors of ioredis without a code, by the beginning of their message. */
const REASONS = [
  [COMMAND_TIMED_OUT, 'timeout'],
  ['Socket timeout', 'timeout'],
  ['Connection is closed', 'connection closed'],
  ['Connection closed', 'connection closed'],
  ['Command aborted due to connection close', 'connection closed'],
  ["Stream isn't writeable", 'not connected'],
  ["Cluster isn't ready", 'not connected'],
  ['Reached the max retries per request', 'not connected'],
  ['Cluster is disconnect', 'not connected'],
  ['None of startup nodes is available', 'no node answers'],
  ['No message arrives', 'no message arrives'],
  ['All sentinels are unreachable', 'no sentinel answers'],
] as const;

/**
 * Short reason why Redis is unavailable: a system error code, the code of an error reply, or one of `REASONS`. Full
 * messages are not logged, because they may contain host names, and passwords that a server repeats.
 */
export function redisReason(error: unknown): string {
  if (!(error instanceof Error)) return 'no node serves';
  if (error instanceof DatabaseRefused) return `${error.message} (${redisReason(error.cause)})`;
  const { lastNodeError } = error as { lastNodeError?: unknown };
  if (lastNodeError instanceof Error) return redisReason(lastNodeError);
  const replied = replyCode(error) ?? /Last error: (?:connect )?([A-Z]{3,}) /.exec(error.message)?.[1];
  const reason = REASONS.find(([begins]) => error.message.startsWith(begins))?.[1];
  return codeOf(error) ?? replied ?? reason ?? (error.name === 'Error' ? 'unknown' : error.name);
}
