import type { Copies } from '../copies.ts';
import type { Layer, ReadResult, SharedRead } from '../exchange.ts';
import { UpstreamFailure } from '../upstream-failure.ts';

/**
 * Stores what upstream answers, a job or that there is none, and drops the copy of a job that the gateway may not see
 * (403).
 */
export function writeThrough(copies: Copies): Layer<SharedRead> {
  return (next) => async (read) => {
    read.state.queue();
    let found: ReadResult;
    try {
      found = await next(read);
    } catch (error) {
      if (error instanceof UpstreamFailure && error.call.outcome.status === 403)
        await copies.drop(read.jobId);
      throw error;
    }
    const copy = await copies.put(read.jobId, found.copy, read.staleCopy);
    read.state.store();
    return { ...found, copy };
  };
}
