/** Makes elements. Strings are inserted as text: nothing in the document is taken for markup. */

/**
 * @template {keyof HTMLElementTagNameMap} Name
 * @param {Name} name
 * @param {string | null} className
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[Name]}
 */
export function element(name, className, ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

/**
 * Splits a text into plain text and, between backticks, code.
 * @param {string} text
 * @returns {(Node | string)[]}
 */
export function words(text) {
  return text.split('`').map((part, index) => (index % 2 === 1 ? element('code', null, part) : part));
}

/**
 * @param {string} href
 * @param {...(Node | string)} children
 */
export function link(href, ...children) {
  const made = element('a', null, ...children);
  made.href = href;
  return made;
}

/**
 * A list of names with their descriptions.
 * @param {[name: Node, ...said: (Node | string)[]][]} entries
 */
export function definitions(entries) {
  return element(
    'dl',
    null,
    ...entries.map(([name, ...said]) =>
      element('div', null, element('dt', null, name), element('dd', null, ...said)),
    ),
  );
}

/** @param {unknown} value */
export function example(value) {
  const text = typeof value === 'string' ? value : JSON.stringify(value, null, 2);
  const made = element('pre', null, element('code', null, text));
  // Focusable, so that it can be scrolled with the keyboard.
  made.tabIndex = 0;
  return made;
}
