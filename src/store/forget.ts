import { setTimeout as delay } from 'node:timers/promises';
import { environment, loadSettings, SettingsError } from '../config/settings.ts';
import { isJobId } from '../upstream/job-reads.ts';
import { encodeMessage } from './replica-messages.ts';
import { connectRedis, untilReady } from './redis.ts';
import { leaseKey } from './redis-leases.ts';
import { type RedisClient, redisTopology } from './redis-topology.ts';
import { messageChannel } from './replicas.ts';
import { copyKey, keyPrefix } from './shared-copies.ts';

/**
 * `npm run forget -- JOB`, with the environment of the gateway: removes a job from the shared store and from the memory
 * of every replica. A later read fetches it again unless it has been deleted upstream before.
 */
const [id = '', ...more] = process.argv.slice(2);

/** sysexits.h */
const [EX_USAGE, EX_UNAVAILABLE, EX_CONFIG] = [64, 69, 78];
/** Interval of checks whether a read of the job has ended, in milliseconds. */
const POLL_INTERVAL_MS = 100;

if (more.length > 0 || !isJobId(id)) {
  end(EX_USAGE, 'usage: npm run forget -- JOB\nJOB: the id of one job, a UUID.');
} else {
  await run(id.toLowerCase()).catch((error: unknown) => {
    if (error instanceof SettingsError) end(EX_CONFIG, error.message);
    else end(EX_UNAVAILABLE, 'Redis does not answer: nothing is known to be removed. Run it again.');
  });
}

async function run(jobId: string): Promise<void> {
  const settings = loadSettings(environment());
  const topology = redisTopology(settings);
  if (!topology) {
    end(EX_CONFIG, 'No shared store is set: what a gateway keeps in memory alone is gone when it restarts.');
    return;
  }
  const silent = { warn: () => undefined, info: () => undefined };
  const redis = connectRedis(topology, silent);
  try {
    await untilReady(redis);
    const prefix = keyPrefix(settings.ITWIN_API_URL, settings.ITWIN_CLIENT_ID);
    const longestReadMs = settings.PATIENCE + 4 * settings.UPSTREAM_TIMEOUT;
    const receivers = await forget(redis, prefix, jobId, longestReadMs);
    process.stdout.write(
      `Removed from the shared store, and ${receivers} listening replicas were told (in a cluster: of one node).\n` +
        'A replica that is cut off from Redis keeps its own copy until it restarts.\n',
    );
  } finally {
    redis.disconnect();
  }
}

/**
 * Removes the job, waits until no replica reads it, and removes it again: a read in progress would store it anew.
 * @returns number of replicas that received the second message
 */
async function forget(
  redis: RedisClient,
  prefix: string,
  jobId: string,
  longestReadMs: number,
): Promise<number> {
  const remove = async () => {
    await redis.del(copyKey(prefix, jobId));
    return redis.publish(messageChannel(prefix), encodeMessage(jobId, { kind: 'forgotten' }));
  };
  const until = performance.now() + longestReadMs;
  await remove();
  do await delay(POLL_INTERVAL_MS);
  while ((await redis.exists(leaseKey(prefix, jobId))) > 0 && performance.now() < until);
  return remove();
}

function end(status: number, message: string): void {
  process.stderr.write(`${message}\n`);
  process.exitCode = status;
}
