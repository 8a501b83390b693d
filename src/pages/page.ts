import type { FastifyReply, FastifyRequest } from 'fastify';
import { GatewayError } from '../errors/gateway-error.ts';
import type { PageFile } from './page-file.ts';

/** A page may hold a caller's key: no foreign code may run in it, frame it or learn its address. */
const PAGE_HEADERS = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  // Revalidated each time: after a deployment the page and its parts are of one version.
  'cache-control': 'no-cache',
};

/** A page and the files that it loads, held in memory: no path is ever made of a request. */
export class Page {
  constructor(private readonly files: ReadonlyMap<string, PageFile>) {}

  /** @throws {GatewayError} `NotFound` when there is no such file */
  send(name: string, request: FastifyRequest, reply: FastifyReply): void {
    const file = this.files.get(name);
    if (!file) throw GatewayError.of('NotFound');
    void reply.headers({ ...PAGE_HEADERS, etag: file.etag });
    if (request.headers['if-none-match'] === file.etag) void reply.status(304).send();
    else void reply.header('content-type', file.contentType).send(file.body);
  }
}
