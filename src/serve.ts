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

const CUT = 'a value in .env was cut at an unquoted #: put it in quotes';

/** Takes what is to be done when the process is told to end. */
type OnSignals = (end: (signal: NodeJS.Signals) => void) => void;

/** Starts the gateway, up to where it listens; ends the process when it cannot. */
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
  for (const name of cutSettings()) log.warn({ variable: name }, CUT);
  const lifecycle = new Lifecycle();
  const tracing = await tracingBy(settings, log);
  await tryHost(settings.HOST).catch(explainListening);
  // It takes most of a second to load: what is wrong with the settings is said before.
  const { createApp } = await import('./app.ts');
  const app = await createApp({ settings, log, lifecycle, metrics, tracing });
  const started = app.listen(settings.PORT, settings.HOST).catch(explainListening);
  const end = ending({ app, started, tracing }, settings, lifecycle, log);
  onSignals((signal) => {
    end(signal).catch((error: unknown) => {
      log.fatal({ err: error }, 'shutdown failed');
      process.exitCode = 1;
    });
  });
  await started;
  lifecycle.serve();
  log.info({ url: await app.getUrl() }, 'listening');
}

/** Nothing of OpenTelemetry is so much as loaded unless it is wanted. */
async function tracingBy(settings: Settings, log: Logger): Promise<Tracing | undefined> {
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

/** What is to be ended. */
interface Running {
  readonly app: NestFastifyApplication;
  readonly started: Promise<unknown>;
  readonly tracing: Tracing | undefined;
}

/**
 * SIGTERM drains: not ready from now on, requests are taken for a while more (the platform needs it to send them elsewhere),
 * then those under way are finished. SIGHUP, a session or a terminal that is gone, is the same; SIGINT, somebody at a terminal,
 * does without the while.
 */
function ending(
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
    // A connection that is being made, to a Redis that hangs say, would keep the process for as long as it takes.
    process.exit(0);
  };
}

/** A port that is taken may be free the next time; anything else is for the settings to mend. */
function explainListening(error: unknown): never {
  const fault = faultOfListening(error);
  throw fault === undefined ? error : new SettingsError([fault]);
}

/** What can be mended from outside is said in a line; anything else with all that is known. */
function explain(error: unknown): string {
  // A value that begins with # is one that is missing.
  if (error instanceof SettingsError) return [error.message, ...cutOnes()].join('\n');
  const { syscall, code = 'unknown', stack } = error as NodeJS.ErrnoException;
  if (syscall === 'listen') return `cannot listen at HOST and PORT (${code})`;
  return stack ?? String(error);
}

/** The settings that were cut in the .env file; none when that is what cannot be read. */
function cutOnes(): string[] {
  try {
    return cutSettings().map((name) => `  ${name}: ${CUT}`);
  } catch {
    return [];
  }
}
