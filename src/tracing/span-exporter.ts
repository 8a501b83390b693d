import { type ExportResult, ExportResultCode } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { BatchSpanProcessor, type ReadableSpan, type SpanExporter } from '@opentelemetry/sdk-trace';
import type { Logger } from 'pino';

/** Most spans that wait to be handed over; what comes beyond is dropped. Some 4 MB. */
const MOST_WAITING = 2048;
const LARGEST_BATCH = 512;
/** How long a batch gathers, in milliseconds. */
const GATHERING_MS = 1000;

/** Hands spans over in batches, one after another, to an OTLP/HTTP collector. @param endpoint its base URL */
export function spanExporter(endpoint: string, log: Logger): BatchSpanProcessor {
  return new BatchSpanProcessor({
    exporter: new Announced(new OTLPTraceExporter({ url: `${endpoint}/v1/traces` }), log),
    maxQueueSize: MOST_WAITING,
    maxExportBatchSize: LARGEST_BATCH,
    scheduledDelayMillis: GATHERING_MS,
  });
}

/** Says once that the collector is away, and once that it is back: OpenTelemetry would say it of each batch, or never. */
class Announced implements SpanExporter {
  #isAway = false;

  constructor(
    private readonly exporter: SpanExporter,
    private readonly log: Logger,
  ) {}

  export(spans: ReadableSpan[], onResult: (result: ExportResult) => void): void {
    this.exporter.export(spans, (result) => {
      this.#heed(result);
      onResult(result);
    });
  }

  shutdown(): Promise<void> {
    return this.exporter.shutdown();
  }

  #heed({ code, error }: ExportResult): void {
    const isAway = code !== ExportResultCode.SUCCESS;
    if (isAway === this.#isAway) return;
    this.#isAway = isAway;
    if (isAway) this.log.warn({ reason: reasonOf(error) }, 'traces cannot be handed over');
    else this.log.info('traces are handed over again');
  }
}

/** Of the error its code or its name alone: the rest may hold what the collector said. */
function reasonOf(error: (Error & { readonly code?: number | string }) | undefined): number | string {
  return error?.code ?? error?.name ?? 'unknown';
}
