import type { Copies } from '../copies.ts';
import { isFinishedJob } from '../copy.ts';
import type { SharedRead, ReadResult, Layer } from '../exchange.ts';
import { UpstreamFailure } from '../upstream-failure.ts';

/** Keeps what upstream says: a job, or that there is none; what it says the gateway may not see is kept no longer. */
export function writeThrough(copies: Copies): Layer<SharedRead> {
  return (next) => async (read) => {
    read.onQueued();
    let found: ReadResult;
    try {
      found = await next(read);
    } catch (error) {
      if (error instanceof UpstreamFailure && error.call.outcome.status === 403)
        await copies.drop(read.jobId);
      throw error;
    }
    const copy = await copies.put(read.jobId, found.copy, read.staleCopy);
    if (isFinishedJob(copy) || !read.finishedElsewhere?.()) return { ...found, copy };
    // Its end has become known elsewhere since: what was read before is not the answer any more.
    return { ...found, copy: (await copies.find(read.jobId))?.copy ?? copy };
  };
}
