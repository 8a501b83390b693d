import { Agent } from 'node:http';
import axios, { type AxiosInstance } from 'axios';
import axiosRetry from 'axios-retry';
import Bottleneck from 'bottleneck';
import PQueue from 'p-queue';

/** What a client is given: a token, and what the subscription allows. */
export interface QuotaTask {
  readonly url: string;
  readonly token: string;
  readonly jobIds: readonly string[];
  readonly limit: number;
  readonly windowMs: number;
}

/** Reads all jobs as quickly as it may. @returns how many reads failed */
export type QuotaClient = (task: QuotaTask) => Promise<number>;

/** Calls at a time, of everyone: as many as the gateway's `UPSTREAM_CONCURRENCY`. */
const CONCURRENCY = 10;
const RETRIES = 3;

/** axios-retry: its own backoff, and its own idea of what is tried again; both heed 429 and Retry-After (README, "Usage"). */
export const withAxiosRetry: QuotaClient = (task) => {
  const api = client(task);
  axiosRetry(api, {
    retries: RETRIES,
    retryDelay: (count, error) => axiosRetry.exponentialDelay(count, error),
  });
  return failures(task, (jobId) => read(api, jobId));
};

/** p-queue: so many in any interval (README, "intervalCap", "strict"). */
export const withPQueue: QuotaClient = (task) => {
  const api = client(task);
  const queue = new PQueue({
    concurrency: CONCURRENCY,
    intervalCap: task.limit,
    interval: task.windowMs,
    strict: true,
  });
  return failures(task, (jobId) => queue.add(() => read(api, jobId)));
};

/** Bottleneck: a reservoir that is filled each interval, and `failed` that says when to try again (README, "Reservoir Intervals", "Retries"). */
export const withBottleneck: QuotaClient = async (task) => {
  const api = client(task);
  const limiter = new Bottleneck({
    maxConcurrent: CONCURRENCY,
    reservoir: task.limit,
    reservoirRefreshAmount: task.limit,
    reservoirRefreshInterval: task.windowMs,
  });
  limiter.on('failed', (error, { retryCount }) => {
    const retryAfter = axios.isAxiosError(error) ? Number(error.response?.headers['retry-after']) : NaN;
    return Promise.resolve(retryCount < RETRIES ? 1000 * (retryAfter || 1) : null);
  });
  const failed = await failures(task, (jobId) => limiter.schedule(() => read(api, jobId)));
  await limiter.disconnect();
  return failed;
};

function client({ url, token }: QuotaTask): AxiosInstance {
  return axios.create({
    baseURL: url,
    headers: { authorization: `Bearer ${token}` },
    httpAgent: new Agent({ keepAlive: true, maxSockets: CONCURRENCY }),
  });
}

function read(api: AxiosInstance, jobId: string): Promise<unknown> {
  return api.get(`/contextcapture/jobs/${jobId}`);
}

async function failures(
  { jobIds }: QuotaTask,
  readOne: (jobId: string) => Promise<unknown>,
): Promise<number> {
  const outcomes = await Promise.allSettled(jobIds.map(readOne));
  return outcomes.filter(({ status }) => status === 'rejected').length;
}
