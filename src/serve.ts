import { setTimeout as delay } from 'node:timers/promises';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { Logger } from 'pino';
import { readBuildInfo } from './build-info.ts';
import { CallersFileError, readCallersFile } from './callers/callers-file.ts';
import {
  cutSettings,
  environment,
  loadSettings,
  longestReadMs,
  type Settings,
  SettingsError,
} from './config/settings.ts';
import { faultOfListening, tryHost } from './http/listening.ts';
import { Lifecycle } from './lifecycle.ts';
import { createLog } from './log.ts';
import { Metrics } from './metrics/metrics.ts';
import type { Tracing } from './tracing/tracing.ts';
import { JOBS_PATH } from './upstream/itwin-api.ts';

/** sysexits.h: the configuration is at fault. */
const EX_CONFIG = 78;

const VALUE_CUT = 'a value in .env was cut at an unquoted #: put it in quotes';

/** Takes the handler of SIGTERM, SIGINT and SIGHUP. */
type OnSignals = (handler: (signal: NodeJS.Signals) => void) => void;

/** Starts the gateway until it listens. Exits the process if that fails. */
export async function serve(onSignals: OnSignals): Promise<void> {
  try {
    await start(onSignals);
  } catch (error) {
    process.stderr.write(`${explain(error)}\n`);
    process.exit(error instanceof SettingsError ? EX_CONFIG : 1);
  }
}

async function start(onSignals: OnSignals): Promise<void> {
  const settings = loadSettings(environment(), { CALLERS_FILE: faultsOfCallersFile });
  const metrics = new Metrics();
  const log = createLog(settings.LOG_LEVEL, () => {
    metrics.logLinesDropped.inc();
  });
  log.info({ ...readBuildInfo(settings.REVISION), node: process.version }, 'starting');
  for (const name of cutSettings()) log.warn({ variable: name }, VALUE_CUT);
  const lifecycle = new Lifecycle();
  const tracing = await createTracing(settings, log);
  await tryHost(settings.HOST).catch(explainListening);
  // Loaded late, because it takes most of a second: faults of the settings are reported before.
  const { createApp } = await import('./app.ts');
  const app = await createApp({ settings, log, lifecycle, metrics, tracing });
  const started = app.listen(settings.PORT, settings.HOST).catch(explainListening);
  const shutDown = shutdown({ app, started, tracing }, settings, lifecycle, log);
  onSignals((signal) => {
    shutDown(signal).catch((error: unknown) => {
      log.fatal({ err: error }, 'shutdown failed');
      process.exitCode = 1;
    });
  });
  await started;
  lifecycle.serve();
  log.info({ url: await app.getUrl() }, 'listening');
}

/** OpenTelemetry is not even loaded unless a collector is set. */
async function createTracing(settings: Settings, log: Logger): Promise<Tracing | undefined> {
  const endpoint = settings.OTEL_EXPORTER_OTLP_ENDPOINT;
  if (endpoint === '') return undefined;
  const { openTelemetry } = await import('./tracing/open-telemetry.ts');
  return openTelemetry(endpoint, `${JOBS_PATH}/{id}`, log);
}

function faultsOfCallersFile(path: string, mayBeMissing: boolean): string[] {
  try {
    readCallersFile(path, mayBeMissing);
    return [];
  } catch (error) {
    if (error instanceof CallersFileError) return [...error.faults];
    throw error;
  }
}

/** Everything that a shutdown ends. */
interface Running {
  readonly app: NestFastifyApplication;
  readonly started: Promise<unknown>;
  readonly tracing: Tracing | undefined;
}

/**
 * SIGTERM and SIGHUP drain: readiness fails at once, requests are accepted for `DRAIN_DELAY` more (the platform needs
 * that time to send them elsewhere), then those under way are finished. SIGINT, which comes from a terminal, skips the
 * delay.
 */
function shutdown(
  { app, started, tracing }: Running,
  settings: Settings,
  lifecycle: Lifecycle,
  log: Logger,
): (signal: NodeJS.Signals) => Promise<void> {
  return async (signal) => {
    if (lifecycle.phase === 'draining') return;
    lifecycle.drain();
    log.info({ signal }, 'draining');
    if (signal !== 'SIGINT') await delay(settings.DRAIN_DELAY);
    await started;
    setTimeout(() => {
      app.getHttpServer().closeAllConnections();
    }, longestReadMs(settings)).unref();
    await app.close();
    await tracing?.end();
    log.info('ended');
    // A pending connection attempt, to a Redis that hangs say, would keep the process alive.
    process.exit(0);
  };
}

/** A port in use may be free at the next start; any other failure to listen is a fault of the settings. */
function explainListening(error: unknown): never {
  const fault = faultOfListening(error);
  throw fault === undefined ? error : new SettingsError([fault]);
}

/** Faults of the settings are explained in a line each; other errors are shown with their stack. */
function explain(error: unknown): string {
  // A value that begins with an unquoted # counts as missing.
  if (error instanceof SettingsError) return [error.message, ...cutValues()].join('\n');
  const { syscall, code = 'unknown', stack } = error as NodeJS.ErrnoException;
  if (syscall === 'listen') return `cannot listen at HOST and PORT (${code})`;
  return stack ?? String(error);
}

/** The settings that were cut in the .env file; none if that file cannot be read. */
function cutValues(): string[] {
  try {
    return cutSettings().map((name) => `  ${name}: ${VALUE_CUT}`);
  } catch {
    return [];
  }
}
