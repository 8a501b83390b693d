import type { Options } from './lib/options.ts';
import type { Table } from './lib/table.ts';
import { dashboards } from './sections/dashboards.ts';
import { hit } from './sections/hit.ts';
import { memory } from './sections/memory.ts';
import { miss } from './sections/miss.ts';
import { parts } from './sections/parts.ts';
import { quota } from './sections/quota.ts';
import { redisUse } from './sections/redis.ts';
import { scale } from './sections/scale.ts';
import { waiting } from './sections/waiting.ts';
import { watchers } from './sections/watchers.ts';

/** In the order in which they run. */
export const SECTIONS: Readonly<Record<string, (options: Options) => Promise<Table[]>>> = {
  hit,
  parts,
  miss,
  quota,
  dashboards,
  scale,
  waiting,
  watchers,
  redis: redisUse,
  memory,
};
