import { setTimeout as delay } from 'node:timers/promises';
import type { FakeUpstreamProcess } from './fake-upstream-process.ts';
import { jobIds } from './reads.ts';

/** Another client of the same subscription: calls at an even pace without a gateway, and ignores 429s. */
export class Consumer {
  readonly ids = new Set<string>();
  #running = true;
  #done: Promise<void> = Promise.resolve();

  static async start(upstream: FakeUpstreamProcess, everyMs: number): Promise<Consumer> {
    const consumer = new Consumer();
    const token = await tokenFrom(upstream);
    consumer.#done = consumer.#run(upstream, token, everyMs);
    return consumer;
  }

  async stop(): Promise<void> {
    this.#running = false;
    await this.#done;
  }

  async #run(upstream: FakeUpstreamProcess, token: string, everyMs: number): Promise<void> {
    const calls: Promise<unknown>[] = [];
    let due = performance.now();
    while (this.#running) {
      const [id = ''] = jobIds(1);
      this.ids.add(id);
      const headers = { authorization: `Bearer ${token}` };
      calls.push(
        fetch(`${upstream.url}/contextcapture/jobs/${id}`, { headers }).then((answer) =>
          answer.arrayBuffer(),
        ),
      );
      due += everyMs;
      await delay(Math.max(0, due - performance.now()));
    }
    await Promise.all(calls);
  }
}

/** Requests a token from the platform directly. */
export async function tokenFrom({ tokenUrl, settings }: FakeUpstreamProcess): Promise<string> {
  const answer = await fetch(tokenUrl, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'client_credentials',
      scope: 'itwin-platform',
      client_id: settings.clientId,
      client_secret: settings.clientSecret,
    }),
  });
  return ((await answer.json()) as { access_token: string }).access_token;
}
