import { type CanActivate, type ExecutionContext, Inject, Injectable } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import type { Authenticator, Caller } from './caller.ts';

export const AUTHENTICATOR = Symbol('Authenticator');

declare module 'fastify' {
  interface FastifyRequest {
    /** Who calls, once the guard has let the request in. */
    caller?: Caller;
  }
}

/** Lets nobody in whom the authenticator does not know. It comes before anything else is looked at. */
@Injectable()
export class CallerGuard implements CanActivate {
  constructor(@Inject(AUTHENTICATOR) private readonly authenticator: Authenticator) {}

  canActivate(context: ExecutionContext): boolean | Promise<boolean> {
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const enter = (caller: Caller): boolean => {
      request.caller = caller;
      return true;
    };
    const caller = this.authenticator.authenticate(request.headers.authorization);
    return caller instanceof Promise ? caller.then(enter) : enter(caller);
  }
}
