import type { RedisLogin } from './redis-topology.ts';

/** ioredis' own words for a command that was not answered in time. */
export const COMMAND_TIMED_OUT = 'Command timed out';
/** No command is waited for longer, however far Redis is, in milliseconds: past that a read does better without the store. */
export const LONGEST_COMMAND_MS = 1000;
const DISCONNECT_TIMEOUT_MS = 100;
const CONNECT_TIMEOUT_MS = 2000;
const LONGEST_RECONNECT_MS = 250;

/** How long to wait before trying to connect for the so many-th time, in milliseconds: it is tried for ever. */
export function reconnectDelayMs(times: number): number {
  return Math.min(50 * 2 ** Math.min(times, 10), LONGEST_RECONNECT_MS);
}

/** What holds for every connection to a Redis that keeps our keys. */
export function connectionOptions({ username, password, tls }: RedisLogin) {
  return {
    username,
    password,
    // The certificate authorities are Node's (NODE_EXTRA_CA_CERTS).
    ...(tls && { tls: {} }),
    connectTimeout: CONNECT_TIMEOUT_MS,
    disconnectTimeout: DISCONNECT_TIMEOUT_MS,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
  };
}
