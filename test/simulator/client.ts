import type { ITwinDouble } from './itwin-double.ts';

/** A token got with the double's own credentials, by HTTP Basic. */
export async function tokenFrom(double: ITwinDouble): Promise<string> {
  const response = await requestToken(double, { authorization: basic(double) });
  const { access_token: token } = (await response.json()) as { access_token: string };
  return token;
}

export function requestToken(
  double: ITwinDouble,
  headers: Record<string, string>,
  fields: Record<string, string> = {},
): Promise<Response> {
  const form = { grant_type: 'client_credentials', scope: 'itwin-platform', ...fields };
  return fetch(double.tokenUrl, { method: 'POST', headers, body: new URLSearchParams(form) });
}

/** The credentials as RFC 6749 section 2.3.1 has them: each percent-encoded before they are joined. */
export function basic({ settings }: ITwinDouble): string {
  const pair = [settings.clientId, settings.clientSecret].map(encodeURIComponent).join(':');
  return `Basic ${Buffer.from(pair).toString('base64')}`;
}

export function getJob(
  double: ITwinDouble,
  id: string,
  token: string,
  headers: Record<string, string> = {},
): Promise<Response> {
  const url = `${double.url}/contextcapture/jobs/${id}`;
  return fetch(url, { headers: { authorization: `Bearer ${token}`, ...headers }, redirect: 'manual' });
}
