import { type CanActivate, type ExecutionContext, Inject, Injectable } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { Authenticator, type Caller } from './caller.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Set once the request is authenticated. */
    caller?: Caller;
  }
}

/** Refuses requests without a valid credential, before anything else of them is looked at. */
@Injectable()
export class CallerGuard implements CanActivate {
  constructor(@Inject(Authenticator) private readonly authenticator: Authenticator) {}

  canActivate(context: ExecutionContext): boolean | Promise<boolean> {
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const admit = (caller: Caller): boolean => {
      request.caller = caller;
      return true;
    };
    const caller = this.authenticator.authenticate(request.headers.authorization);
    return caller instanceof Promise ? caller.then(admit) : admit(caller);
  }
}

/** The caller of a request that the guard has admitted. */
export function callerOf({ caller }: FastifyRequest): Caller {
  if (!caller) throw new Error('the request passed no CallerGuard');
  return caller;
}
