import { z } from 'zod';
import { redisUrl } from './redis-rules.ts';
import { addresses } from './units.ts';

const anything = z.string();

/** The variables about Redis; redis-rules.ts checks their combinations. */
export const redisVariables = {
  REDIS_URL: {
    default: '',
    about: 'Shared store, as redis://host:6379/0 or rediss://. Without any Redis setting: memory only.',
    schema: redisUrl,
  },
  REDIS_SENTINELS: {
    default: '',
    about: 'Instead of REDIS_URL: sentinels that know the master, as host:port,host:port.',
    schema: addresses,
  },
  REDIS_SENTINEL_NAME: {
    default: '',
    about: 'Name of the master at the sentinels.',
    schema: anything,
  },
  REDIS_CLUSTER: {
    default: '',
    about: 'Instead of REDIS_URL: some nodes of a Redis Cluster, as host:port,host:port.',
    schema: addresses,
  },
  REDIS_USERNAME: {
    default: '',
    about: 'ACL user, unless REDIS_URL has one. Empty: the default user.',
    schema: anything,
  },
  REDIS_PASSWORD: {
    default: '',
    about: 'Password, unless REDIS_URL has one. REDIS_PASSWORD_FILE reads it from a file instead.',
    schema: anything,
  },
  REDIS_SENTINEL_PASSWORD: {
    default: '',
    about: 'Password of the sentinels. REDIS_SENTINEL_PASSWORD_FILE reads it from a file instead.',
    schema: anything,
  },
  REDIS_TLS: {
    default: 'no',
    about:
      'yes: TLS to the sentinels and their nodes, or to the cluster. With REDIS_URL, write rediss:// instead.',
    schema: z.enum(['yes', 'no'], { error: 'must be yes or no' }),
  },
};
