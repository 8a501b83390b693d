/** Input that cannot be used. The message says which part and what it must be. */
export class BadInput extends Error {}

/** What a value from outside must be. */
export interface Rule {
  readonly isValid: (value: unknown) => boolean;
  /** Completes "must be …". */
  readonly description: string;
  readonly required?: boolean;
}

export type Fields = Readonly<Record<string, Rule>>;

export const text: Rule = {
  isValid: (value) => typeof value === 'string' && value !== '',
  description: 'a string that is not empty',
};

export const object: Rule = {
  isValid: (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  description: 'an object',
};

export const flag: Rule = { isValid: (value) => typeof value === 'boolean', description: 'true or false' };

export function number(least: number, most: number): Rule {
  const isValid = (value: unknown): boolean => typeof value === 'number' && value >= least && value <= most;
  return { isValid, description: `a number from ${least} to ${most}` };
}

export function whole(least: number, most: number): Rule {
  const { isValid } = number(least, most);
  return {
    isValid: (value) => Number.isInteger(value) && isValid(value),
    description: `a whole number from ${least} to ${most}`,
  };
}

export function oneOf(...words: readonly (string | boolean)[]): Rule {
  return {
    isValid: (value) => words.some((word) => word === value),
    description: `one of ${words.join(', ')}`,
  };
}

export function either(first: Rule, second: Rule): Rule {
  return {
    isValid: (value) => first.isValid(value) || second.isValid(value),
    description: `${first.description} or ${second.description}`,
  };
}

export const nothing: Rule = { isValid: (value) => value === null, description: 'null' };

/** An object with no fields but these, and with all that are required. */
export function checkFields(value: unknown, rules: Fields, where: string): Record<string, unknown> {
  check(value, object, where);
  const given = value as Record<string, unknown>;
  for (const [name, rule] of Object.entries(rules)) {
    if (name in given) check(given[name], rule, `${where}.${name}`);
    else if (rule.required) throw new BadInput(`${where} lacks ${name}`);
  }
  const stray = Object.keys(given).find((name) => !Object.hasOwn(rules, name));
  if (stray === undefined) return given;
  throw new BadInput(`${where} has no ${stray}; it has ${Object.keys(rules).join(', ')}`);
}

export function check(value: unknown, rule: Rule, where: string): void {
  if (!rule.isValid(value)) throw new BadInput(`${where} must be ${rule.description}`);
}

/** As a rule for a value inside another. */
export function withFields(rules: Fields, description: string): Rule {
  return { isValid: (value) => passes(() => checkFields(value, rules, '')), description };
}

export function listOf(item: Rule): Rule {
  return {
    isValid: (value) => Array.isArray(value) && value.every(item.isValid),
    description: `a list, each ${item.description}`,
  };
}

export function passes(attempt: () => unknown): boolean {
  try {
    attempt();
    return true;
  } catch {
    return false;
  }
}
