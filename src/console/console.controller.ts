import { Controller, Get, Head, Inject, Param, Req, Res, UseGuards } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Authenticator } from '../callers/caller.ts';
import { AUTHENTICATOR, CallerGuard } from '../callers/caller.guard.ts';
import { GatewayError } from '../errors/gateway-error.ts';
import { PAGE, type PageFile } from './page-files.ts';
import { StateStreams } from './state-streams.ts';

export const PAGE_FILES = Symbol('PageFiles');

/** The page holds a caller's key: nothing of anyone else's may run in it, frame it or learn its address. */
const PAGE_HEADERS = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  // Kept, but asked for again: after a deployment the page and its parts are of one version.
  'cache-control': 'no-cache',
};

/** Unbuffered by proxies, kept by nobody. */
const STREAM_HEADERS = {
  'content-type': 'text/event-stream',
  'cache-control': 'no-store',
  'x-accel-buffering': 'no',
  'x-content-type-options': 'nosniff',
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
    const { raw } = reply.headers(STREAM_HEADERS);
    raw.writeHead(200, reply.getHeaders() as Record<string, string>);
    return this.streams.stream(raw, () => this.#isOperator(request.headers.authorization));
  }

  @Get(':file')
  file(@Param('file') name: string, @Req() request: FastifyRequest, @Res() reply: FastifyReply): void {
    const file = this.files.get(name);
    if (!file) throw GatewayError.of('NotFound');
    void reply.headers({ ...PAGE_HEADERS, etag: file.etag });
    if (request.headers['if-none-match'] === file.etag) void reply.status(304).send();
    else void reply.header('content-type', file.contentType).send(file.body);
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
