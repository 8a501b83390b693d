/** Input that cannot be used. The message says which part and what it must be. */
export class BadInput extends Error {}

/** What a value from outside must be. */
export interface Rule {
  readonly holds: (value: unknown) => boolean;
  /** Completes "must be …". */
  readonly says: string;
  readonly required?: boolean;
}

export type Fields = Readonly<Record<string, Rule>>;

export const text: Rule = {
  holds: (value) => typeof value === 'string' && value !== '',
  says: 'a string that is not empty',
};

export const object: Rule = {
  holds: (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  says: 'an object',
};

export const flag: Rule = { holds: (value) => typeof value === 'boolean', says: 'true or false' };

export function number(least: number, most: number): Rule {
  const holds = (value: unknown): boolean => typeof value === 'number' && value >= least && value <= most;
  return { holds, says: `a number from ${least} to ${most}` };
}

export function whole(least: number, most: number): Rule {
  const { holds } = number(least, most);
  return {
    holds: (value) => Number.isInteger(value) && holds(value),
    says: `a whole number from ${least} to ${most}`,
  };
}

export function oneOf(...words: readonly (string | boolean)[]): Rule {
  return { holds: (value) => words.some((word) => word === value), says: `one of ${words.join(', ')}` };
}

export function either(first: Rule, second: Rule): Rule {
  return {
    holds: (value) => first.holds(value) || second.holds(value),
    says: `${first.says} or ${second.says}`,
  };
}

export const nothing: Rule = { holds: (value) => value === null, says: 'null' };

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
  if (!rule.holds(value)) throw new BadInput(`${where} must be ${rule.says}`);
}

/** As a rule for a value inside another. */
export function withFields(rules: Fields, says: string): Rule {
  return { holds: (value) => passes(() => checkFields(value, rules, '')), says };
}

export function listOf(item: Rule): Rule {
  return {
    holds: (value) => Array.isArray(value) && value.every(item.holds),
    says: `a list, each ${item.says}`,
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
