import { Controller, Get, Head, Inject, Param, Req, Res, UseGuards } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Authenticator } from '../callers/caller.ts';
import { CallerGuard } from '../callers/caller.guard.ts';
import { GatewayError } from '../errors/gateway-error.ts';
import { eventStreamHeaders, openEventStream } from '../http/event-stream.ts';
import { PAGE } from '../pages/page-file.ts';
import { ConsolePage } from './console-page.ts';
import { StateStreams } from './state-streams.ts';

const CACHE_CONTROL = 'no-store';

/** The live view of the gateway: a page for every caller, and the state behind it for operators. */
@Controller('console')
export class ConsoleController {
  constructor(
    @Inject(ConsolePage) private readonly console: ConsolePage,
    @Inject(StateStreams) private readonly streams: StateStreams,
    @Inject(Authenticator) private readonly authenticator: Authenticator,
  ) {}

  @Get()
  page(@Req() request: FastifyRequest, @Res() reply: FastifyReply): void {
    this.console.send(PAGE, request, reply);
  }

  /**
   * Declared before `GET`, for which Fastify would add a HEAD route of its own that waits for the end of the stream.
   */
  @Head('events')
  @UseGuards(CallerGuard)
  head(@Req() request: FastifyRequest, @Res() reply: FastifyReply): void {
    this.#admit(request);
    void reply.headers(eventStreamHeaders(CACHE_CONTROL)).send();
  }

  @Get('events')
  @UseGuards(CallerGuard)
  events(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    this.#admit(request);
    return this.streams.stream(openEventStream(reply, CACHE_CONTROL), () =>
      this.#isOperator(request.headers.authorization),
    );
  }

  @Get(':file')
  file(@Param('file') name: string, @Req() request: FastifyRequest, @Res() reply: FastifyReply): void {
    this.console.send(name, request, reply);
  }

  #admit({ caller }: FastifyRequest): void {
    if (!caller?.operator) throw GatewayError.of('InsufficientPermissions');
    this.streams.admit();
  }

  /** Checked again while a stream is open: the callers file may have changed. Never rejects. */
  async #isOperator(authorization: string | undefined): Promise<boolean> {
    try {
      return (await this.authenticator.authenticate(authorization)).operator;
    } catch {
      return false;
    }
  }
}
