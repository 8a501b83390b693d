import { definitions, element, example, words } from './dom.js';
import { kind } from './schemas.js';

/**
 * @typedef {import('./schemas.js').Schema} Schema
 * @typedef {{ $ref?: string }} Ref
 * @typedef {{ description?: string, schema?: Schema, example?: unknown }} Field
 * @typedef {Field & { name: string, in: string, required?: boolean }} Parameter
 * @typedef {{ schema?: Schema, example?: unknown, examples?: Record<string, { value: unknown }> }} Content
 * @typedef {{ description: string, headers?: Record<string, Ref>, content?: Record<string, Content> }} Answer
 * @typedef {object} Operation
 * @property {string} operationId
 * @property {string[]} tags
 * @property {string} summary
 * @property {string} [description]
 * @property {object[]} [security]
 * @property {(Parameter & Ref)[]} [parameters]
 * @property {Record<string, Answer>} responses
 */

/**
 * The article of one method of one path.
 * @param {string} path
 * @param {string} method
 * @param {Operation} operation
 * @param {<T>(entry: T & Ref) => T} resolve follows a reference
 */
export function article(path, method, operation, resolve) {
  const title = element(
    'h3',
    null,
    element('span', 'method', method.toUpperCase()),
    element('code', null, path),
  );
  const made = element('article', null, title, element('p', null, ...words(operation.summary)));
  made.id = operation.operationId;
  if (operation.description) made.append(element('p', null, ...words(operation.description)));
  const asksForKey = (operation.security ?? []).length > 0;
  made.append(
    element('p', 'kind', ...words(asksForKey ? 'Needs `Authorization: Bearer …`.' : 'Needs no key.')),
    element('h4', null, 'Request'),
    parameters((operation.parameters ?? []).map(resolve)),
    element('h4', null, 'Answers'),
    ...Object.entries(operation.responses).map(([status, answer]) => response(status, answer, resolve)),
  );
  return made;
}

/** @param {Parameter[]} all */
function parameters(all) {
  return definitions(
    all.map(({ name, in: place, required, description = '', schema = {}, example: value }) => [
      element('code', null, name),
      element('p', 'kind', `${place}, `, ...kind(schema), required ? ', required' : ''),
      element('p', null, ...words(description)),
      ...(value === undefined ? [] : [element('p', 'kind', 'e.g. ', element('code', null, String(value)))]),
    ]),
  );
}

/**
 * @param {string} status
 * @param {Answer} answer
 * @param {<T>(entry: T & Ref) => T} resolve
 */
function response(status, { description, headers = {}, content = {} }, resolve) {
  const isGood = Number(status) < 400;
  const summary = element('summary', null, element('span', `status ${isGood ? 'good' : 'bad'}`, status), ' ');
  const codes = Object.values(content).flatMap(({ examples = {} }) => Object.keys(examples));
  summary.append(
    ...words(isGood || codes.length === 0 ? description : codes.map((code) => `\`${code}\``).join(', ')),
  );
  const made = element('details', null, summary);
  if (!isGood) made.append(element('p', 'lines', ...words(description)));
  const fields = Object.entries(headers).map(
    /** @returns {[Node, ...(Node | string)[]]} */
    ([name, field]) => {
      const { description: said = '' } = resolve(/** @type {Field & Ref} */ (field));
      return [element('code', null, name), ...words(said)];
    },
  );
  if (fields.length > 0) made.append(definitions(fields));
  for (const [type, { schema = {}, example: value, examples = {} }] of Object.entries(content)) {
    made.append(element('p', 'kind', `${type}: `, ...kind(schema)));
    if (value !== undefined) made.append(example(value));
    for (const { value: each } of Object.values(examples)) made.append(example(each));
  }
  return made;
}
