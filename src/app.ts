import type { Server } from 'node:http';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Logger as NestLogger, PinoLogger } from 'nestjs-pino';
import type { Logger } from 'pino';
import { AppModule } from './app.module.ts';
import { createGateway, type GatewayOptions } from './composition/gateway.ts';
import { longestReadMs } from './config/settings.ts';
import { limitConnections } from './http/connection-limit.ts';
import { allowOrigins } from './http/cors.ts';
import { allowOnlyReads } from './http/method-not-allowed.ts';
import { addServerHooks } from './http/server-hooks.ts';
import { serverOptions } from './http/server-options.ts';
import { serveMemoryHits } from './jobs/memory-hits.ts';
import { recordReads } from './jobs/read-record.ts';
import { JOBS_PATH } from './upstream/itwin-api.ts';

/** Paths that need no key. */
const OPEN_PATHS = [
  ...['/health/live', '/health/ready', '/metrics'],
  ...['/openapi.json', '/docs', '/docs/:file', '/console', '/console/:file'],
];

/**
 * Paths that pages of other origins may read where the settings name those: the callers' own, and their description.
 */
const CROSS_ORIGIN_PATHS = [`${JOBS_PATH}/:id`, `${JOBS_PATH}/events`, '/openapi.json'];

/** The gateway behind its HTTP server: everything but listening. */
export async function createApp(options: GatewayOptions): Promise<NestFastifyApplication> {
  const { settings, log, lifecycle, metrics, tracing } = options;
  const gateway = await createGateway(options);
  const adapter = new FastifyAdapter({ ...serverOptions(longestReadMs(settings)), skipMiddie: true });
  const app = await NestFactory.create<NestFastifyApplication>(
    AppModule.register(gateway, options),
    adapter,
    { bodyParser: false, logger: frameworkLog(log), abortOnError: false },
  );
  const fastify = adapter.getInstance();
  addServerHooks(fastify, lifecycle);
  limitConnections(adapter.getHttpServer<Server>(), settings.MAX_CONNECTIONS, log);
  allowOrigins(fastify, {
    origins: settings.CORS_ORIGINS,
    paths: CROSS_ORIGIN_PATHS,
    takesTraces: tracing !== undefined,
  });
  recordReads(fastify, metrics, log, tracing);
  serveMemoryHits(fastify, gateway);
  const admit = (authorization: string | undefined) => gateway.authenticator.authenticate(authorization);
  for (const path of [`${JOBS_PATH}/:id`, '/console/events']) allowOnlyReads(fastify, path, admit);
  allowOnlyReads(fastify, `${JOBS_PATH}/events`, admit, 'GET');
  for (const path of OPEN_PATHS) allowOnlyReads(fastify, path);
  return app;
}

/** Nest's own messages. Those at info name each route and module: they are shown at debug alone. */
function frameworkLog(log: Logger): NestLogger {
  const logger = log.level === 'info' ? log.child({}, { level: 'warn' }) : log;
  return new NestLogger(new PinoLogger({ pinoHttp: { logger } }), {});
}
