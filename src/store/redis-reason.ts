import { codeOf } from '../errors/cause.ts';
import { DatabaseRefused } from './lasting-redis.ts';
import { COMMAND_TIMED_OUT } from './redis-options.ts';
import { replyCode } from './reply-code.ts';

/** What ioredis says in words only, by how the message begins. */
const WORDS = [
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
 * Why Redis is away, in a word or two: the system's code, or the one that a server's reply begins with. The rest of a message is left
 * out: it names hosts, and a server may repeat in it what it was sent, passwords included.
 */
export function redisReason(error: unknown): string {
  if (!(error instanceof Error)) return 'no node serves';
  if (error instanceof DatabaseRefused) return `${error.message} (${redisReason(error.cause)})`;
  const { lastNodeError } = error as { lastNodeError?: unknown };
  if (lastNodeError instanceof Error) return redisReason(lastNodeError);
  const replied = replyCode(error) ?? /Last error: (?:connect )?([A-Z]{3,}) /.exec(error.message)?.[1];
  const words = WORDS.find(([begins]) => error.message.startsWith(begins))?.[1];
  return codeOf(error) ?? replied ?? words ?? (error.name === 'Error' ? 'unknown' : error.name);
}
