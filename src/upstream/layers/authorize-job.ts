import { GatewayError } from '../../errors/gateway-error.ts';
import type { Exchange, JobReader, ReadResult, JobResult, Requester } from '../exchange.ts';
import { withCallOutcome } from '../upstream-failure.ts';

/**
 * Shows a caller only what it may see, hit or miss. That there is no such job and that it is not this caller's are told
 * apart by nothing (docs/CONTRACT.md, section 4).
 */
export const authorizeJob =
  (next: Exchange): JobReader =>
  async (read) => {
    const found = await next(read);
    const seen = visibleTo(read.caller, found);
    if (!seen) throw withCallOutcome(GatewayError.of('JobNotFound'), found.upstream);
    return seen;
  };

/** What was found, if it is a job that the caller may see. */
export function visibleTo(caller: Requester, found: ReadResult): JobResult | undefined {
  const { copy } = found;
  return copy.kind === 'job' && caller.maySee(copy.iTwinId) ? (found as JobResult) : undefined;
}
