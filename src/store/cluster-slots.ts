import type { Redis } from 'ioredis';
import { z } from 'zod';

const LAST_SLOT = 16_383;
const slot = z.number().int().min(0).max(LAST_SLOT);
const node = z.tuple([z.string().nullable(), z.number().int().min(0).max(65_535)], z.unknown());
/** What `CLUSTER SLOTS` answers: from which slot to which, and the nodes that have them. */
const slots = z.array(z.tuple([slot, slot], node));

type OnSlots = (error: Error | null, result?: unknown) => void;
type AskForSlots = (subcommand: 'SLOTS', onSlots: OnSlots) => unknown;

/**
 * A node as it is asked who has which slots, whose answer goes on only when it has the form of one. ioredis takes any: a nil ends
 * the process, and a slot of a thousand million makes it count that far.
 */
export function withCheckedSlots(redis: Redis): Redis {
  const duplicate: Redis['duplicate'] = (options) => {
    const connection = redis.duplicate(options);
    const ask = connection.cluster.bind(connection) as unknown as AskForSlots;
    const askAndCheck: AskForSlots = (subcommand, onSlots) =>
      ask(subcommand, (error, result) => {
        if (error || slots.safeParse(result).success) onSlots(error, result);
        else onSlots(new Error('SLOTS are answered in no known form'));
      });
    return Object.assign(connection, { cluster: askAndCheck });
  };
  return Object.assign(Object.create(redis) as Redis, { duplicate });
}
