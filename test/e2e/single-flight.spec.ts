import { describe, expect, it } from '@jest/globals';
import { readJob } from '../support/reads.ts';
import { startUpstream, startGateway } from '../support/rig.ts';

describe('a shared read', () => {
  it('answers 1,000 concurrent reads of one cold job with one token request and one upstream call', async () => {
    // The call lasts until the last read has arrived, also on a busy machine.
    const upstream = await startUpstream({ latencyMs: [4000, 4000] });
    const { id } = upstream.addJob();
    const gateway = await startGateway({ upstream });
    const seen = await Promise.all(Array.from({ length: 1000 }, () => readJob(gateway, id)));
    expect(seen.every(({ status }) => status === 200)).toBe(true);
    expect(seen.every(({ body }) => body.equals(upstream.bodyOf(id)))).toBe(true);
    expect(upstream.count).toBe(1);
    expect(upstream.tokenRequests).toHaveLength(1);
    const collapsed = seen.filter(({ headers }) => String(headers['cache-status']).includes('collapsed'));
    expect(collapsed.length).toBe(999);
  });
});
