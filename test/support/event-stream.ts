import { get, type IncomingMessage } from 'node:http';
import { once } from 'node:events';

/** Client of the console's state stream. */
export class EventStream {
  text = '';
  readonly #response: IncomingMessage;
  readonly #ended: Promise<unknown>;

  private constructor(response: IncomingMessage) {
    this.#response = response;
    this.#ended = once(response, 'close');
    response.setEncoding('utf8');
    response.on('data', (part: string) => (this.text += part));
    response.on('error', () => undefined);
  }

  static async open(url: string, authorization: string): Promise<EventStream> {
    const request = get(url, { headers: { authorization }, agent: false });
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    return new EventStream(response);
  }

  get status(): number | undefined {
    return this.#response.statusCode;
  }

  get headers() {
    return this.#response.headers;
  }

  /** Data of all events received. */
  get states(): Readonly<Record<string, unknown>>[] {
    const events = this.text.split('\n\n').slice(0, -1);
    return events.map((event) => {
      const [, data = ''] = /^event: state\ndata: (.*)$/.exec(event) ?? [];
      return JSON.parse(data) as Record<string, unknown>;
    });
  }

  /** Resolves when the server ends the stream. */
  get ended(): Promise<unknown> {
    return this.#ended;
  }

  /** Stops reading. */
  stall(): void {
    this.#response.pause();
  }

  close(): void {
    this.#response.destroy();
  }
}
