/** What a configuration chooses from a registry: a task or a tracker, a built-in one by name or a module of the user. */

import { z } from 'zod'
import type { ConfigIssue } from '../base/errors.ts'
import { text } from '../base/fields.ts'
import { suggestion } from '../base/nearest.ts'
import { type Lines, located, section, type Validated, validate } from '../base/validate.ts'

/** A module that exports what is chosen, or a function that makes it of `options`. */
export interface ChosenModule {
  module: string
  options?: unknown
}

/** A built-in one with its checked options, or a user's module. */
export type Choice<Name extends string> = { name: Name; options: Record<string, unknown> } | ChosenModule

/** A choice in the forms that {@link readChoice} takes; what it says is checked there. */
export const choiceSchema = z.union([text(), z.looseObject({})])

/**
 * Reads a choice: `NAME`, `{ name, ...options }`, the path of a module or `{ module, options }`.
 *
 * @param what `task` or `tracker`, for messages
 * @param path of the choice in the configuration
 */
export function readChoice<Name extends string>(
  what: string,
  registry: Readonly<Record<Name, { options: z.ZodObject }>>,
  input: unknown,
  lines: Lines,
  path: readonly PropertyKey[],
): Validated<Choice<Name>> {
  if (typeof input === 'string')
    return isModulePath(input)
      ? { value: { module: input }, issues: null }
      : readChoice(what, registry, { name: input }, lines, path)
  if (typeof input !== 'object' || input === null) return { value: null, issues: [] }
  const { name, ...options } = input as Record<string, unknown>
  if ('module' in input) {
    const schema = section({ module: text(), options: z.unknown().optional() })
    return validate<ChosenModule>(schema, input, lines, path)
  }
  const names = Object.keys(registry) as Name[]
  if (!names.includes(name as Name)) {
    const issue: ConfigIssue = located([...path, 'name'], wrongName(what, name, names), lines)
    return { value: null, issues: [issue] }
  }
  const checked = validate<Record<string, unknown>>(registry[name as Name].options, options, lines, path)
  return checked.issues ? checked : { value: { name: name as Name, options: checked.value }, issues: null }
}

/** A choice as configurations write it. */
export function writtenChoice(choice: Choice<string>): Record<string, unknown> {
  return 'module' in choice ? { ...choice } : { name: choice.name, ...choice.options }
}

function wrongName(what: string, name: unknown, names: readonly string[]): string {
  if (name === undefined)
    return `missing; expected one of ${names.join(', ')} (or "module" with the path of your own ${what})`
  if (isModulePath(String(name)))
    return `expected a built-in ${what}; give a module of your own with \`module: PATH\` in place of name, or as its path alone`
  return `unknown ${what} ${JSON.stringify(name)}; ${suggestion(String(name), names)}`
}

const isModulePath = (text: string) => /\.[cm]?[jt]s$/.test(text) || /^\.{0,2}\//.test(text)
