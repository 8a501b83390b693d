import { GatewayError } from '../../errors/gateway-error.ts';
import type { Layer } from '../exchange.ts';
import { traced } from '../upstream-failure.ts';

/**
 * Shows a caller only what it may see, hit or miss. That there is no such job and that it is not this caller's are told
 * apart by nothing (contract section 4).
 */
export const visible: Layer = (next) => async (read) => {
  const found = await next(read);
  if (found.copy.kind === 'job' && read.caller.maySee(found.copy.iTwinId)) return found;
  throw traced(GatewayError.of('JobNotFound'), found.upstream);
};
