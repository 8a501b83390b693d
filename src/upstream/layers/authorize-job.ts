import { GatewayError } from '../../errors/gateway-error.ts';
import type { Exchange, JobReader, ReadResult, JobResult, Requester } from '../exchange.ts';
import { withCallOutcome } from '../upstream-failure.ts';

/**
 * Answers with jobs that the caller may see, for hits and misses alike. A job of someone else and one that does not
 * exist get the same answer (docs/CONTRACT.md, section 4).
 */
export const authorizeJob =
  (next: Exchange): JobReader =>
  async (read) => {
    const found = await next(read);
    const seen = visibleTo(read.caller, found);
    if (!seen) throw withCallOutcome(GatewayError.of('JobNotFound'), found.upstream);
    return seen;
  };

/** The result, if it is a job that the caller may see. */
export function visibleTo(caller: Requester, found: ReadResult): JobResult | undefined {
  const { copy } = found;
  return copy.kind === 'job' && caller.maySee(copy.iTwinId) ? (found as JobResult) : undefined;
}
