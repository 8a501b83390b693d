import { createHash, randomBytes } from 'node:crypto';

/**
 * `npm run caller -- NAME [iTwinId…]`: makes a key for a caller. The key is shown only here: the entry to store holds
 * its digest.
 */
const [name, ...iTwins] = process.argv.slice(2);

if (name === undefined || !/^[\w.-]{1,64}$/.test(name)) {
  process.stderr.write(
    'usage: npm run caller -- NAME [iTwinId…]\n' +
      'NAME: 1 to 64 letters, digits, dots, dashes or underscores. Without an iTwinId the caller may read every job.\n',
  );
  process.exitCode = 64;
} else {
  const key = randomBytes(32).toString('base64url');
  const keySha256 = [createHash('sha256').update(key).digest('hex')];
  const entry = { name, keySha256, iTwins: iTwins.length > 0 ? iTwins : ['*'], operator: false };
  process.stdout.write(
    `The key of ${name}, shown this once (send it as "Authorization: Bearer <key>"):\n\n  ${key}\n\n` +
      `Its entry for "callers" in the callers file:\n\n  ${JSON.stringify(entry)}\n`,
  );
}
