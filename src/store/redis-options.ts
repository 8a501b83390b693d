import type { RedisLogin } from './redis-topology.ts';

/** Error message of a command without a timely reply, as in ioredis. */
export const COMMAND_TIMED_OUT = 'Command timed out';
/** Longest command timeout, in milliseconds: beyond it a read is faster without the store. */
export const LONGEST_COMMAND_MS = 1000;
const DISCONNECT_TIMEOUT_MS = 100;
const CONNECT_TIMEOUT_MS = 2000;
const LONGEST_RECONNECT_MS = 250;

/** Delay before the nth attempt to reconnect, in milliseconds. Attempts never end. */
export function reconnectDelayMs(attempt: number): number {
  return Math.min(50 * 2 ** Math.min(attempt, 10), LONGEST_RECONNECT_MS);
}

/** Options of every connection to a server with the gateway's keys. */
export function connectionOptions({ username, password, tls }: RedisLogin) {
  return {
    username,
    password,
    // Uses Node's certificate authorities (NODE_EXTRA_CA_CERTS).
    ...(tls && { tls: {} }),
    connectTimeout: CONNECT_TIMEOUT_MS,
    disconnectTimeout: DISCONNECT_TIMEOUT_MS,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
  };
}
