import { element, link, words } from './dom.js';
import { article } from './operations.js';
import { model } from './schemas.js';

/**
 * @typedef {import('./operations.js').Operation} Operation
 * @typedef {import('./schemas.js').Schema} Schema
 * @typedef {object} Description
 * @property {{ description: string, version: string }} info
 * @property {{ name: string, description: string }[]} tags
 * @property {Record<string, Record<string, Operation>>} paths
 * @property {{ schemas: Record<string, Schema> }} components
 */

const content = /** @type {HTMLElement} */ (document.getElementById('content'));
const contents = /** @type {HTMLElement} */ (document.getElementById('contents'));

/** @param {Description} description */
function show(description) {
  const operations = Object.entries(description.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  );
  content.append(
    element('p', null, `Version ${description.info.version}. `, ...words(description.info.description)),
  );
  for (const { name, description: said } of description.tags) {
    const own = operations.filter(({ operation }) => operation.tags.includes(name));
    section(
      name,
      said,
      own.map(({ path, method, operation }) => article(path, method, operation, resolverOf(description))),
      own.map(({ path, method, operation }) =>
        link(`#${operation.operationId}`, `${method.toUpperCase()} ${path}`),
      ),
    );
  }
  const models = Object.entries(description.components.schemas);
  section(
    'Models',
    'Models are open: other fields and values may occur.',
    models.map(([name, schema]) => model(name, schema)),
    models.map(([name]) => link(`#model-${name}`, name)),
  );
}

/**
 * @param {string} title
 * @param {string} said
 * @param {Node[]} articles
 * @param {Node[]} links
 */
function section(title, said, articles, links) {
  content.append(
    element('section', null, element('h2', null, title), element('p', 'hint', said), ...articles),
  );
  contents.append(
    element('h2', null, title),
    element('ul', null, ...links.map((each) => element('li', null, each))),
  );
}

/**
 * Makes a function that resolves references within the document.
 * @param {Description} description
 */
function resolverOf(description) {
  /** @type {<T>(entry: T & { $ref?: string }) => T} */
  return (entry) => {
    if (!entry.$ref) return entry;
    const steps = entry.$ref.split('/').slice(1);
    // The document is checked before it is served, so that references lead to entries of the right type.
    return steps.reduce((found, step) => found[step], /** @type {any} */ (description));
  };
}

try {
  const answer = await fetch('openapi.json');
  if (!answer.ok) throw new Error(String(answer.status));
  show(await answer.json());
  // The browser has looked for the anchor before it existed.
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
} catch {
  const again = element('p', 'note', 'The API description could not be loaded. ', link('docs', 'Try again.'));
  again.setAttribute('role', 'alert');
  content.append(again);
}
content.removeAttribute('aria-busy');
