import { type Clock, systemClock } from '../../clock.ts';
import type { Exchange, SharedRead, ReadResult, Send } from '../exchange.ts';
import type { TokenCall, TokenRefusal } from '../token.ts';
import { UpstreamFailure } from '../upstream-failure.ts';

/**
 * The meaning of a 401:
 * - `retry`: the token may be the reason. Retry after `afterMs`.
 * - `job-refused`: upstream accepts the token for other jobs.
 * - `credentials-refused`: upstream refuses every token, for all jobs.
 */
export type TokenVerdict =
  | { readonly kind: 'retry'; readonly afterMs: number }
  | { readonly kind: 'job-refused' | 'credentials-refused' };

/** Provides bearer tokens, and learns how upstream responds to them. */
export interface Tokens {
  get(refusals: readonly TokenRefusal[]): Promise<{ readonly id: number; readonly value: string }>;
  accepted(call: TokenCall): void;
  refused(call: TokenCall, earlier: readonly TokenRefusal[]): Promise<TokenVerdict>;
  unanswered(call: TokenCall): void;
}

/** Adds the gateway's token to the call, and turns a 401 into the verdict on it. */
export function authorize(tokens: Tokens, send: Send, clock: Clock = systemClock): Exchange<SharedRead> {
  return async (read) => {
    const token = await tokens.get(read.refusals ?? []);
    const call: TokenCall = { tokenId: token.id, jobId: read.jobId, sentAt: clock.now() };
    let result: ReadResult;
    try {
      result = await send(read, token.value);
    } catch (error) {
      if (!(error instanceof UpstreamFailure) || error.call.kind !== 'token-refused') {
        // Only an answer about the job shows that upstream has checked the token.
        if (error instanceof UpstreamFailure && error.isAnswer) tokens.accepted(call);
        else tokens.unanswered(call);
        throw error;
      }
      throw withVerdict(error, call, await tokens.refused(call, read.refusals ?? []));
    }
    tokens.accepted(call);
    return result;
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
