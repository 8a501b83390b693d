import { type Clock, systemClock } from '../../clock.ts';
import type { Exchange, SharedRead, ReadResult, Send } from '../exchange.ts';
import type { TokenCall, TokenRefusal } from '../token.ts';
import { UpstreamFailure } from '../upstream-failure.ts';

/**
 * What a 401 means:
 * - `retry`: the token may be the reason. Worth another try after so many milliseconds.
 * - `job-refused`: other jobs are read with the token. It is this job's own trouble.
 * - `credentials-refused`: every token is refused, whatever the job.
 */
export type TokenVerdict =
  | { readonly kind: 'retry'; readonly afterMs: number }
  | { readonly kind: 'job-refused' | 'credentials-refused' };

/** Where bearer tokens come from, and where is judged how good they are. */
export interface Tokens {
  get(refusals: readonly TokenRefusal[]): Promise<{ readonly id: number; readonly value: string }>;
  accepted(call: TokenCall): void;
  refused(call: TokenCall, earlier: readonly TokenRefusal[]): Promise<TokenVerdict>;
  unanswered(call: TokenCall): void;
}

/** Puts the gateway's own token on the call, and has a 401 judged. */
export function authorize(tokens: Tokens, send: Send, clock: Clock = systemClock): Exchange<SharedRead> {
  return async (read) => {
    const token = await tokens.get(read.refusals ?? []);
    const call: TokenCall = { tokenId: token.id, jobId: read.jobId, sentAt: clock.now() };
    let found: ReadResult;
    try {
      found = await send(read, token.value);
    } catch (error) {
      if (!(error instanceof UpstreamFailure) || error.call.kind !== 'token-refused') {
        // Only what upstream says of the job shows that it has looked at the token.
        if (error instanceof UpstreamFailure && error.isAnswer) tokens.accepted(call);
        else tokens.unanswered(call);
        throw error;
      }
      throw withVerdict(error, call, await tokens.refused(call, read.refusals ?? []));
    }
    tokens.accepted(call);
    return found;
  };
}

function withVerdict(
  error: UpstreamFailure,
  { tokenId, sentAt }: TokenCall,
  verdict: TokenVerdict,
): UpstreamFailure {
  switch (verdict.kind) {
    case 'retry': {
      const refusal = { tokenId, sentAt };
      return new UpstreamFailure({ ...error.call, retryAfterMs: verdict.afterMs, refusal }, error);
    }
    case 'job-refused':
      return new UpstreamFailure({ ...error.call, kind: 'job-refused' }, error);
    case 'credentials-refused':
      return new UpstreamFailure({ ...error.call, kind: 'final' }, error);
  }
}
