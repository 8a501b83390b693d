import { spawn, type ChildProcess } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { get } from 'node:http';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { TOKEN_MARK } from '../fake-upstream/tokens.ts';
import { endSearch, KEY_MARK, searchAnswers, Secrets } from './secrets.ts';

/** Shortest part of a token that is searched for, in characters: shorter ones are not unique. */
const LEAST_PART = 20;
/** Timeout for the final metrics of a gateway, in milliseconds: it may hang, or be ending. */
const METRICS_WAIT_MS = 1000;
const MAIN = join(import.meta.dirname, '../../dist/main.js');
/** Node's compile cache, shared by all starts, which makes them faster by a fifth. */
export const COMPILED = { NODE_COMPILE_CACHE: join(import.meta.dirname, '../../node_modules/.cache/node') };

export interface TestCaller {
  readonly name: string;
  readonly key: string;
  readonly iTwins: readonly string[];
  /** Default: no operator. */
  readonly operator?: boolean;
}

export function testCaller(name: string, iTwins: readonly string[] = ['*']): TestCaller {
  return { name, key: `${KEY_MARK}${randomBytes(24).toString('base64url')}`, iTwins };
}

export function testOperator(name: string): TestCaller {
  return { ...testCaller(name), operator: true };
}

export function callersFile(callers: readonly TestCaller[]): string {
  return JSON.stringify({
    callers: callers.map(({ name, key, iTwins, operator = false }) => ({
      name,
      keySha256: [createHash('sha256').update(key).digest('hex')],
      iTwins,
      operator,
    })),
  });
}

/** A fake upstream, in this process or another. */
export interface Upstream {
  readonly url: string;
  readonly tokenUrl: string;
  readonly settings: { readonly clientId: string; readonly clientSecret: string };
  readonly calls: readonly { readonly token: string }[];
}

export interface GatewayOptions {
  readonly upstream: Upstream;
  /** Settings besides those for the fake upstream. */
  readonly env?: Readonly<Record<string, string>>;
  /** Default: one without restrictions. */
  readonly callers?: readonly TestCaller[];
  /** Default: the build of this checkout. */
  readonly program?: Program;
  /** Settings to omit, because a file contains them. */
  readonly without?: readonly string[];
  /** Modifies the text of the callers file. */
  readonly callersText?: (json: string) => string;
}

/** How to start a gateway: command, folder, environment and user. */
export interface Program {
  readonly command: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly uid?: number;
  readonly gid?: number;
}

/** A JSON line of the gateway's log. */
export type LogLine = Readonly<Record<string, unknown>> & { readonly msg?: string };

/** The built gateway as a process with its own environment, on a free local port. */
export class Gateway {
  readonly log: LogLine[] = [];
  readonly callers: readonly TestCaller[];
  readonly callersPath: string;
  /** The gateway that was started last; during its start it is available only here. */
  static latest: Gateway | undefined;
  url = '';
  /** Everything that the process wrote. */
  output = '';
  /** Secrets that must not appear in `output`, answers, events, metrics or traces. */
  readonly secrets = new Secrets();
  readonly #options: GatewayOptions;
  readonly #folder = mkdtempSync(join(tmpdir(), 'gateway-'));
  readonly #process: ChildProcess;
  readonly #exit: Promise<number | null>;
  readonly #waiting = new Set<() => void>();

  private constructor(options: GatewayOptions) {
    this.#options = options;
    this.callers = options.callers ?? [testCaller('tester')];
    this.callersPath = join(this.#folder, 'callers.json');
    const { callersText = String } = options;
    writeFileSync(this.callersPath, callersText(callersFile(this.callers)));
    this.#know();
    const { command, env, ...own } = options.program ?? {
      command: [process.execPath, MAIN],
      cwd: this.#folder,
      env: COMPILED,
    };
    this.#process = spawn(command[0]!, command.slice(1), {
      ...own,
      env: { ...env, ...this.#environment(), ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#exit = once(this.#process, 'exit').then(([code]) => code as number | null);
    void this.#exit.then(() => {
      this.#wake();
    });
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      if (stream) createInterface(stream).on('line', (line) => this.#take(line));
    }
  }

  /** Starts a gateway and waits until it listens. */
  static async start(options: GatewayOptions): Promise<Gateway> {
    const gateway = new Gateway(options);
    Gateway.latest = gateway;
    const { url } = await gateway.logged((line) => line.msg === 'listening');
    gateway.url = String(url);
    searchAnswers(gateway.url, gateway.secrets);
    return gateway;
  }

  /** The Authorization header of a caller. All parts of a token are secrets. */
  bearer(caller: TestCaller | undefined = this.callers[0]): string {
    const key = caller?.key ?? '';
    this.secrets.add(...key.split('.').filter((part) => part.length >= LEAST_PART));
    return `Bearer ${key}`;
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  /** Waits for a log line; earlier lines count too. */
  async logged(wanted: (line: LogLine) => boolean): Promise<LogLine> {
    for (;;) {
      const line = this.log.find(wanted);
      if (line) return line;
      if (this.hasEnded) {
        throw new Error(`the gateway has ended:\n${this.output}`);
      }
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
  }

  signal(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  /** Starts or stops reading its standard output. */
  readOutput(isRead: boolean): void {
    if (isRead) this.#process.stdout?.resume();
    else this.#process.stdout?.pause();
  }

  get hasEnded(): boolean {
    return this.#process.exitCode !== null || this.#process.signalCode !== null;
  }

  /** The exit status, once it has ended. */
  get exited(): Promise<number | null> {
    return this.#exit;
  }

  /** Ends it with SIGTERM, and checks that no secret has leaked. */
  async stop(): Promise<number | null> {
    await this.#readMetrics();
    if (this.#process.exitCode === null) this.#process.kill('SIGTERM');
    const status = await this.#exit;
    rmSync(this.#folder, { recursive: true, force: true });
    this.#know();
    this.secrets.search('the log', this.output);
    endSearch(this.secrets);
    this.secrets.expectNoLeak();
    return status;
  }

  #environment(): Record<string, string> {
    const { upstream, without = [] } = this.#options;
    const env = {
      HOST: '127.0.0.1',
      PORT: '0',
      ITWIN_API_URL: upstream.url,
      ITWIN_TOKEN_URL: upstream.tokenUrl,
      ITWIN_CLIENT_ID: upstream.settings.clientId,
      ITWIN_CLIENT_SECRET: upstream.settings.clientSecret,
      UPSTREAM_LIMITS: '100000/1m',
      CALLERS_FILE: this.callersPath,
      DRAIN_DELAY: '0ms',
    };
    return Object.fromEntries(Object.entries(env).filter(([name]) => !without.includes(name)));
  }

  #take(line: string): void {
    this.output += `${line}\n`;
    try {
      this.log.push(JSON.parse(line) as LogLine);
    } catch {
      // Not a log line: `output` has it.
    }
    this.#wake();
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }

  /** Secrets from its settings and from calls upstream. Tokens and keys also have common prefixes. */
  #know(): void {
    const { upstream, env = {} } = this.#options;
    const { clientId, clientSecret } = upstream.settings;
    const basic = Buffer.from(`${clientId}:${clientSecret}`).toString('base64');
    this.secrets.add(clientSecret, basic);
    this.secrets.add(...this.callers.map(({ key }) => key).filter((key) => !key.startsWith(KEY_MARK)));
    this.secrets.add(
      ...upstream.calls.map(({ token }) => token).filter((token) => !token.startsWith(TOKEN_MARK)),
    );
    for (const [name, value] of Object.entries(env)) {
      if (/(PASSWORD|SECRET)$/.test(name)) this.secrets.add(value);
      this.secrets.add(URL.parse(value)?.password ?? '');
    }
  }

  /** Reads the metrics at the end, so that they are searched for secrets like all answers. */
  async #readMetrics(): Promise<void> {
    if (this.url === '' || this.hasEnded) return;
    const { promise, resolve } = Promise.withResolvers<unknown>();
    const request = get(`${this.url}/metrics`, { agent: false, timeout: METRICS_WAIT_MS }, (response) => {
      response.resume().once('close', resolve);
    });
    request.once('timeout', () => request.destroy()).once('error', resolve);
    await promise;
  }
}
