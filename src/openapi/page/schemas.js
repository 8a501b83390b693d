import { definitions, element, link, words } from './dom.js';

/**
 * The part of JSON Schema that the document uses.
 * @typedef {object} Schema
 * @property {string} [$ref]
 * @property {string} [type]
 * @property {string} [format]
 * @property {string} [description]
 * @property {unknown[]} [enum]
 * @property {unknown[]} [examples]
 * @property {Schema} [items]
 * @property {Schema[]} [anyOf]
 * @property {Schema[]} [allOf]
 * @property {Record<string, Schema>} [properties]
 * @property {string[]} [required]
 * @property {boolean | Schema} [additionalProperties]
 */

/**
 * Describes a type on one line: `string or null`, `array of JobInput`.
 * @param {Schema} schema
 * @returns {(Node | string)[]}
 */
export function kind(schema) {
  if (schema.$ref) return [modelLink(schema.$ref)];
  if (schema.allOf) return joined(schema.allOf.filter(({ $ref }) => $ref).map(kind), ' and ');
  if (schema.anyOf) return joined(schema.anyOf.map(kind), ' or ');
  if (schema.enum)
    return joined(
      schema.enum.map((value) => [element('code', null, String(value))]),
      ', ',
    );
  if (schema.items) return ['array of ', ...kind(schema.items)];
  if (schema.format) return [`${schema.type ?? 'value'} (${schema.format})`];
  return [schema.type ?? 'any value'];
}

/**
 * The article of a named schema.
 * @param {string} name
 * @param {Schema} schema
 */
export function model(name, schema) {
  const article = element('article', null, element('h3', null, name));
  article.id = `model-${name}`;
  if (schema.description) article.append(element('p', null, ...words(schema.description)));
  if (schema.properties) article.append(propertyList(schema));
  else article.append(element('p', 'kind', ...kind(schema)));
  return article;
}

/**
 * @param {Schema} schema
 * @returns {HTMLElement}
 */
function propertyList({ properties = {}, required = [] }) {
  return definitions(
    Object.entries(properties).map(([name, schema]) => [
      element('code', null, name),
      element('p', 'kind', ...kind(schema), required.includes(name) ? ', always present' : ''),
      ...(schema.description ? [element('p', null, ...words(schema.description))] : []),
      ...(schema.properties ? [propertyList(schema)] : []),
    ]),
  );
}

/** @param {string} ref */
function modelLink(ref) {
  const name = ref.slice(ref.lastIndexOf('/') + 1);
  return link(`#model-${name}`, name);
}

/**
 * @param {(Node | string)[][]} parts
 * @param {string} separator
 */
function joined(parts, separator) {
  return parts.flatMap((part, index) => (index === 0 ? part : [separator, ...part]));
}
