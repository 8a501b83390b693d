import { z } from 'zod';
import { redisUrl } from './redis-rules.ts';
import { addresses } from './units.ts';

const anything = z.string();

/** The variables about Redis; redis-rules.ts checks their combinations. */
export const redisVariables = {
  REDIS_URL: {
    default: '',
    about:
      'Shared store, as redis://host:6379/0 or rediss://. None of the three ways to Redis given: memory only.',
    schema: redisUrl,
  },
  REDIS_SENTINELS: {
    default: '',
    about: 'The second way: sentinels, as host:port,host:port, that know where the master is.',
    schema: addresses,
  },
  REDIS_SENTINEL_NAME: {
    default: '',
    about: 'The name that the sentinels know the master by.',
    schema: anything,
  },
  REDIS_CLUSTER: {
    default: '',
    about: 'The third way: some nodes of a Redis Cluster, as host:port,host:port.',
    schema: addresses,
  },
  REDIS_USERNAME: {
    default: '',
    about: 'The ACL user, unless REDIS_URL says it. Empty: the default user.',
    schema: anything,
  },
  REDIS_PASSWORD: {
    default: '',
    about: 'Its password, unless REDIS_URL says it; REDIS_PASSWORD_FILE reads it from a file instead.',
    schema: anything,
  },
  REDIS_SENTINEL_PASSWORD: {
    default: '',
    about: 'The password of the sentinels; REDIS_SENTINEL_PASSWORD_FILE reads it from a file instead.',
    schema: anything,
  },
  REDIS_TLS: {
    default: 'no',
    about:
      'yes: TLS to the sentinels and their nodes, or to those of the cluster. A REDIS_URL says rediss://.',
    schema: z.enum(['yes', 'no'], { error: 'must be yes or no' }),
  },
};
