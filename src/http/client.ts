import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';

/**
 * How the gateway itself calls others. Connections are kept. A proxy is the agents' business: axios leaves it to agents
 * that have a `proxyEnv`, and told `proxy: false` would put others in their place.
 * @param proxyEnv the proxy variables that are set
 */
export function httpClient(proxyEnv: Readonly<Record<string, string>>) {
  return {
    httpAgent: new HttpAgent({ keepAlive: true, proxyEnv }),
    httpsAgent: new HttpsAgent({ keepAlive: true, proxyEnv }),
    maxRedirects: 0,
    // Every status is an answer; what it means is said in one place.
    validateStatus: () => true,
    headers: { 'user-agent': 'itwin-jobs-gateway' },
  };
}
