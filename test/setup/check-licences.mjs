/**
 * `node test/setup/check-licences.mjs [folder]` checks the licence of every package: an SPDX expression from its own
 * package.json, or from package-lock.json if this platform does not install it. Shipped packages have the shorter list.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const SHIPPED = ['MIT', 'ISC', '0BSD', 'BSD-2-Clause', 'BSD-3-Clause', 'Apache-2.0', 'BlueOak-1.0.0'];
/** Tools are not shipped. Some of them are data or texts, under these licences. */
const TOOLS = [...SHIPPED, 'CC0-1.0', 'CC-BY-4.0', 'PSF-2.0', 'Python-2.0'];

const root = process.argv[2] ?? fileURLToPath(new URL('../../', import.meta.url));
const read = (path) => JSON.parse(readFileSync(path, 'utf8'));

/** One alternative has to be on the list; all licences that apply together have to. Anything else is not allowed. */
function isAllowed(expression, list) {
  if (typeof expression !== 'string') return false;
  const bare = expression.replace(/^\((.*)\)$/, '$1');
  if (bare.includes(' OR ')) return bare.split(' OR ').some((each) => isAllowed(each, list));
  return bare.split(' AND ').every((each) => list.includes(each));
}

function licenceOf(path, entry) {
  const manifest = join(root, path, 'package.json');
  return existsSync(manifest) ? read(manifest).license : entry.license;
}

const packages = Object.entries(read(join(root, 'package-lock.json')).packages).filter(
  ([path]) => path !== '',
);
const refused = packages
  .map(([path, entry]) => ({ path, isTool: entry.dev === true, licence: licenceOf(path, entry) }))
  .filter(({ isTool, licence }) => !isAllowed(licence, isTool ? TOOLS : SHIPPED));
for (const { path, isTool, licence } of refused) {
  console.error(
    `${path} (${isTool ? 'a tool' : 'shipped'}): ${JSON.stringify(licence) ?? 'no licence'} is not allowed`,
  );
}
if (refused.length > 0) process.exitCode = 1;
else console.log(`The licences of ${packages.length} packages are all allowed.`);
