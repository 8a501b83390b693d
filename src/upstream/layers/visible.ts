import { GatewayError } from '../../errors/gateway-error.ts';
import type { Exchange, Face, Found, FoundJob, Reader } from '../exchange.ts';
import { traced } from '../upstream-failure.ts';

/**
 * Shows a caller only what it may see, hit or miss. That there is no such job and that it is not this caller's are told
 * apart by nothing (contract section 4).
 */
export const visible =
  (next: Exchange): Face =>
  async (read) => {
    const found = await next(read);
    const seen = sees(read.caller, found);
    if (!seen) throw traced(GatewayError.of('JobNotFound'), found.upstream);
    return seen;
  };

/** What was found, if it is a job that the caller may see. */
export function sees(caller: Reader, found: Found): FoundJob | undefined {
  const { copy } = found;
  return copy.kind === 'job' && caller.maySee(copy.iTwinId) ? (found as FoundJob) : undefined;
}
