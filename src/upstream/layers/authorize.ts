import type { Exchange, Flight, Send } from '../exchange.ts';
import { type FailedCall, UpstreamFailure } from '../upstream-failure.ts';

/** Where bearer tokens come from. */
export interface Tokens {
  /** A token that is good now. */
  get(): Promise<string>;
  /** Upstream took it. */
  accepted(): void;
  /** Upstream refused it: it is not handed out again. */
  refused(token: string): void;
}

/** Puts the gateway's own token on the call, and takes back one that upstream does not know any more. */
export function authorize(tokens: Tokens, send: Send): Exchange<Flight> {
  return async (read) => {
    const token = await tokens.get();
    try {
      const found = await send(read, token);
      tokens.accepted();
      return found;
    } catch (error) {
      if (error instanceof UpstreamFailure) heed(error.call, tokens, token);
      throw error;
    }
  };
}

/** Any answer but a 401 shows that the token was good. */
function heed({ kind, trace }: FailedCall, tokens: Tokens, token: string): void {
  if (kind === 'stale-token') tokens.refused(token);
  else if (typeof trace.status === 'number' && trace.status !== 401) tokens.accepted();
}
