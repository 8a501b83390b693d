import { Controller, Get, Head, Inject, Param, Req, Res, UseGuards } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Authenticator } from '../callers/caller.ts';
import { AUTHENTICATOR, CallerGuard } from '../callers/caller.guard.ts';
import { GatewayError } from '../errors/gateway-error.ts';
import { PAGE, type PageFile } from '../pages/page-file.ts';
import { sendPage } from '../pages/send-page.ts';
import { StateStreams } from './state-streams.ts';

export const PAGE_FILES = Symbol('PageFiles');

/** Unbuffered by proxies, kept by nobody. */
const STREAM_HEADERS = {
  'content-type': 'text/event-stream',
  'cache-control': 'no-store',
  'x-accel-buffering': 'no',
};

/** The live view of the gateway: a page for whoever has a key, and the state behind it for operators. */
@Controller('console')
export class ConsoleController {
  constructor(
    @Inject(PAGE_FILES) private readonly files: ReadonlyMap<string, PageFile>,
    @Inject(StateStreams) private readonly streams: StateStreams,
    @Inject(AUTHENTICATOR) private readonly authenticator: Authenticator,
  ) {}

  @Get()
  page(@Req() request: FastifyRequest, @Res() reply: FastifyReply): void {
    this.file(PAGE, request, reply);
  }

  /** Stands before `GET`, for which Fastify would make one of its own that waits for the stream's end. */
  @Head('events')
  @UseGuards(CallerGuard)
  head(@Req() request: FastifyRequest, @Res() reply: FastifyReply): void {
    this.#admit(request);
    void reply.headers(STREAM_HEADERS).send();
  }

  @Get('events')
  @UseGuards(CallerGuard)
  events(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    this.#admit(request);
    reply.hijack();
    const { raw } = reply;
    raw.writeHead(200, { ...reply.commonFields(), ...STREAM_HEADERS });
    return this.streams.stream(raw, () => this.#isOperator(request.headers.authorization));
  }

  @Get(':file')
  file(@Param('file') name: string, @Req() request: FastifyRequest, @Res() reply: FastifyReply): void {
    sendPage(this.files.get(name), request, reply);
  }

  #admit({ caller }: FastifyRequest): void {
    if (!caller?.operator) throw GatewayError.of('InsufficientPermissions');
    this.streams.admit();
  }

  /** Asked again while a stream is open: the callers file may have changed. */
  async #isOperator(authorization: string | undefined): Promise<boolean> {
    try {
      return (await this.authenticator.authenticate(authorization)).operator;
    } catch {
      return false;
    }
  }
}
