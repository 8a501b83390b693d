import { type ExportResult, ExportResultCode } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { BatchSpanProcessor, type ReadableSpan, type SpanExporter } from '@opentelemetry/sdk-trace';
import type { Logger } from 'pino';

/** Most spans that wait for export, some 4 MB; further ones are dropped. */
const MAX_QUEUE_SIZE = 2048;
const MAX_BATCH_SIZE = 512;
/** Interval between exports, in milliseconds. */
const EXPORT_INTERVAL_MS = 1000;

/** Exports spans in batches, one at a time, to an OTLP/HTTP collector. @param endpoint its base URL */
export function spanExporter(endpoint: string, log: Logger): BatchSpanProcessor {
  return new BatchSpanProcessor({
    exporter: new LoggingExporter(new OTLPTraceExporter({ url: `${endpoint}/v1/traces` }), log),
    maxQueueSize: MAX_QUEUE_SIZE,
    maxExportBatchSize: MAX_BATCH_SIZE,
    scheduledDelayMillis: EXPORT_INTERVAL_MS,
  });
}

/** Logs once when export fails and once when it is restored; OpenTelemetry would log each batch, or nothing. */
class LoggingExporter implements SpanExporter {
  #isFailing = false;

  constructor(
    private readonly exporter: SpanExporter,
    private readonly log: Logger,
  ) {}

  export(spans: ReadableSpan[], onResult: (result: ExportResult) => void): void {
    this.exporter.export(spans, (result) => {
      this.#logTransition(result);
      onResult(result);
    });
  }

  shutdown(): Promise<void> {
    return this.exporter.shutdown();
  }

  #logTransition({ code, error }: ExportResult): void {
    const isFailing = code !== ExportResultCode.SUCCESS;
    if (isFailing === this.#isFailing) return;
    this.#isFailing = isFailing;
    if (isFailing) this.log.warn({ reason: reasonOf(error) }, 'trace export failed');
    else this.log.info('trace export restored');
  }
}

/** The code or name of the error only: its message may contain the collector's response. */
function reasonOf(error: (Error & { readonly code?: number | string }) | undefined): number | string {
  return error?.code ?? error?.name ?? 'unknown';
}
