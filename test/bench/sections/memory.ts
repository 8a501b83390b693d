import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { jobIds } from '../../support/reads.ts';
import { startGateway } from '../contenders/gateway.ts';
import { type Options, say } from '../lib/options.ts';
import { residentBytes } from '../lib/pinned.ts';
import { withResources } from '../lib/resources.ts';
import type { Table } from '../lib/table.ts';
import { load } from '../lib/wrk.ts';

const MINUTES = 10;
/** More than fit into 64 MB, so that copies come and go. */
const JOBS = 40_000;
const MB = 2 ** 20;
/** What Node makes of the memory that the manifest allows, which is not known here: half of it for the heap. */
const IN_512_MIB = ['--max-old-space-size=256'];

/** Resident memory with a full memory cache, minute by minute under load. */
export function memory(options: Options): Promise<Table[]> {
  return withResources(async (own) => {
    const upstream = await own.upstream({ FAKE_UPSTREAM_UNKNOWN_JOBS: 'make' });
    const redis = await own.redis();
    const { gateway, url, pid } = own.use(
      await startGateway(
        upstream,
        {
          REDIS_URL: redis.url,
          MEMORY_CACHE_SIZE: '64mb',
          UPSTREAM_LIMITS: '1000000/1s',
          UPSTREAM_CONCURRENCY: '100',
        },
        { flags: IN_512_MIB },
      ),
    );
    const paths = join(own.folder(), 'paths');
    writeFileSync(
      paths,
      jobIds(JOBS)
        .map((id) => `/contextcapture/jobs/${id}`)
        .join('\n'),
    );
    const rows = [];
    for (let minute = 1; minute <= (options.short ? 1 : MINUTES); minute++) {
      const seconds = options.short ? 2 : 60;
      const loaded = await load({ url, authorization: gateway.bearer(), seconds, connections: 64, paths });
      const resident = residentBytes(pid) / MB;
      rows.push([minute, resident, loaded.perSecond, loaded.failed]);
      say(`memory: minute ${minute}: ${resident.toFixed(0)} MB, ${loaded.perSecond.toFixed(0)}/s`);
    }
    return [
      {
        name: 'memory',
        columns: ['minute', 'RSS, MB', 'reads/s', 'failed'],
        rows,
        plot: { column: 1, title: 'Resident memory with 64 MB of copies, minute by minute' },
      },
    ];
  });
}
