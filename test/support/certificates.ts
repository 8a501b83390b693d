import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Certificates {
  /** Path of the authority's certificate. */
  readonly authority: string;
  /** Paths of `key` and `cert`. */
  readonly keyPath: string;
  readonly certPath: string;
  readonly key: Buffer;
  readonly cert: Buffer;
}

/**
 * Creates a certificate authority and a certificate for some names, with openssl in a folder.
 * @param days validity of the certificate; negative: expired
 */
export function makeCertificates(folder: string, names = 'DNS:localhost', days = 2): Certificates {
  const file = (name: string): string => join(folder, name);
  const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: 'ignore' });
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl(
    'req',
    '-x509',
    ...newKey,
    '-keyout',
    file('ca.key'),
    '-out',
    file('ca.pem'),
    '-subj',
    '/CN=Test CA',
    '-days',
    '2',
  );
  openssl(
    'req',
    ...newKey,
    '-keyout',
    file('server.key'),
    '-out',
    file('server.csr'),
    '-subj',
    '/CN=localhost',
  );
  writeFileSync(file('names'), `subjectAltName=${names}`);
  const issuer = [
    '-CA',
    file('ca.pem'),
    '-CAkey',
    file('ca.key'),
    '-CAcreateserial',
    '-extfile',
    file('names'),
  ];
  openssl(
    'x509',
    '-req',
    '-in',
    file('server.csr'),
    ...issuer,
    '-out',
    file('server.pem'),
    '-days',
    String(days),
  );
  return {
    authority: file('ca.pem'),
    keyPath: file('server.key'),
    certPath: file('server.pem'),
    key: readFileSync(file('server.key')),
    cert: readFileSync(file('server.pem')),
  };
}
