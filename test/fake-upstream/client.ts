import type { FakeUpstream } from './fake-upstream.ts';

/** A token got with the fake upstream's own credentials, by HTTP Basic. */
export async function tokenFrom(upstream: FakeUpstream): Promise<string> {
  const response = await requestToken(upstream, { authorization: basic(upstream) });
  const { access_token: token } = (await response.json()) as { access_token: string };
  return token;
}

export function requestToken(
  upstream: FakeUpstream,
  headers: Record<string, string>,
  fields: Record<string, string> = {},
): Promise<Response> {
  const form = { grant_type: 'client_credentials', scope: 'itwin-platform', ...fields };
  return fetch(upstream.tokenUrl, { method: 'POST', headers, body: new URLSearchParams(form) });
}

/** The credentials as RFC 6749 section 2.3.1 has them: each percent-encoded before they are joined. */
export function basic({ settings }: FakeUpstream): string {
  const pair = [settings.clientId, settings.clientSecret].map(encodeURIComponent).join(':');
  return `Basic ${Buffer.from(pair).toString('base64')}`;
}

export function getJob(
  upstream: FakeUpstream,
  id: string,
  token: string,
  headers: Record<string, string> = {},
): Promise<Response> {
  const url = `${upstream.url}/contextcapture/jobs/${id}`;
  return fetch(url, { headers: { authorization: `Bearer ${token}`, ...headers }, redirect: 'manual' });
}
