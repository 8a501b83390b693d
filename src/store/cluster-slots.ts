import type { Redis } from 'ioredis';
import { z } from 'zod';

const LAST_SLOT = 16_383;
const slot = z.number().int().min(0).max(LAST_SLOT);
const node = z.tuple([z.string().nullable(), z.number().int().min(0).max(65_535)], z.unknown());
/** Reply of `CLUSTER SLOTS`: ranges of slots, and the nodes that serve them. */
const slots = z.array(z.tuple([slot, slot], node));

type OnSlots = (error: Error | null, result?: unknown) => void;
type ClusterCommand = (subcommand: 'SLOTS', onSlots: OnSlots) => unknown;

/**
 * A node whose replies to `CLUSTER SLOTS` are validated. ioredis accepts anything: a nil ends the process, and it would
 * loop up to a slot number of a billion.
 */
export function withCheckedSlots(redis: Redis): Redis {
  const duplicate: Redis['duplicate'] = (options) => {
    const connection = redis.duplicate(options);
    const send = connection.cluster.bind(connection) as unknown as ClusterCommand;
    const sendAndCheck: ClusterCommand = (subcommand, onSlots) =>
      send(subcommand, (error, result) => {
        if (error || slots.safeParse(result).success) onSlots(error, result);
        else onSlots(new Error('SLOTS reply is invalid'));
      });
    return Object.assign(connection, { cluster: sendAndCheck });
  };
  return Object.assign(Object.create(redis) as Redis, { duplicate });
}
