import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { atEnd } from './rig.ts';
import { searchAll } from './secrets.ts';
import { until } from './until.ts';

/** A span as it was handed over (opentelemetry.proto.trace.v1, in JSON). */
export interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  /** 1: internal, 2: server, 3: client. */
  readonly kind: number;
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: Readonly<Record<string, string | number>>;
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
  /** 2: an error. */
  readonly status: number;
  /** What the status is described as. */
  readonly statusMessage: string;
}

interface Attribute {
  readonly key: string;
  readonly value: { readonly stringValue?: string; readonly intValue?: number | string };
}

type WireSpan = Omit<Span, 'attributes' | 'links' | 'status' | 'statusMessage'> & {
  readonly attributes: readonly Attribute[];
  readonly links?: Span['links'];
  readonly status: { readonly code?: number; readonly message?: string };
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
};

interface Payload {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly Attribute[] };
    readonly scopeSpans: readonly { readonly spans: readonly WireSpan[] }[];
  }[];
}

/** What it does with what comes: takes it, refuses it with a status, or does not answer. */
export type Behaviour = 'takes' | 'hangs' | number;

/** A collector that is spoken to by OTLP/HTTP with JSON. Whatever comes is searched for secrets. */
export class Collector {
  readonly spans: Span[] = [];
  readonly headers: IncomingHttpHeaders[] = [];
  resource: Readonly<Record<string, string | number>> = {};
  behaviour: Behaviour = 'takes';
  /** Batches that came, taken or not, and those of them that are still without an answer. */
  requests = 0;
  waiting = 0;
  readonly #server = createServer((request, response) => void this.#serve(request, response));

  /** @param port default: a free one */
  static async open(port = 0): Promise<Collector> {
    const collector = new Collector();
    collector.#server.listen(port, '127.0.0.1');
    await once(collector.#server, 'listening');
    return collector;
  }

  /** One that ends with the test. */
  static async start(port = 0): Promise<Collector> {
    const collector = await Collector.open(port);
    atEnd(() => collector.stop());
    return collector;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** The spans of a name, once so many have come. */
  async named(name: string, count = 1): Promise<Span[]> {
    const found = (): Span[] => this.spans.filter((span) => span.name === name);
    await until(`${count} spans "${name}"`, () => found().length >= count);
    return found();
  }

  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    searchAll('a trace', text + JSON.stringify(request.headers));
    this.requests++;
    this.headers.push(request.headers);
    if (this.behaviour === 'takes') this.#take(text);
    if (this.behaviour === 'hangs') {
      this.waiting++;
      response.once('close', () => this.waiting--);
      return;
    }
    const status = this.behaviour === 'takes' ? 200 : this.behaviour;
    response.writeHead(status, { 'content-type': 'application/json' }).end('{}');
  }

  #take(text: string): void {
    const { resourceSpans } = JSON.parse(text) as Payload;
    for (const { resource, scopeSpans } of resourceSpans) {
      this.resource = valuesOf(resource.attributes);
      this.spans.push(...scopeSpans.flatMap(({ spans }) => spans.map(spanOf)));
    }
  }
}

function spanOf({ attributes, links = [], status, ...told }: WireSpan): Span {
  return {
    ...told,
    startMs: Number(told.startTimeUnixNano) / 1e6,
    endMs: Number(told.endTimeUnixNano) / 1e6,
    attributes: valuesOf(attributes),
    links: links.map(({ traceId, spanId }) => ({ traceId, spanId })),
    status: status.code ?? 0,
    statusMessage: status.message ?? '',
  };
}

function valuesOf(attributes: readonly Attribute[]): Record<string, string | number> {
  return Object.fromEntries(
    attributes.map(({ key, value }) => [key, value.stringValue ?? Number(value.intValue)]),
  );
}
