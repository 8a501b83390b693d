import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';

/**
 * Options of the HTTP client for all calls that the gateway makes. Connections are kept alive. The agents connect
 * through a proxy: axios leaves that to agents with a `proxyEnv`, and would replace them if `proxy` were false.
 * @param proxyEnv the proxy variables that are set
 */
export function httpClient(proxyEnv: Readonly<Record<string, string>>) {
  return {
    httpAgent: new HttpAgent({ keepAlive: true, proxyEnv }),
    httpsAgent: new HttpsAgent({ keepAlive: true, proxyEnv }),
    maxRedirects: 0,
    // No status throws: each caller interprets it.
    validateStatus: () => true,
    headers: { 'user-agent': 'itwin-jobs-gateway' },
  };
}
