/** Checks of the arguments that calls take by position: programs without types, or with `as any`, get an error with a code. */
import { MagrpoError } from './errors.ts'
import { inspect } from './inspect.ts'

/**
 * @param what names the argument, such as `runDir of resume`
 * @throws MagrpoError `ERR_ARGUMENT` unless it is text of at least one character
 */
export function expectText(value: unknown, what: string): asserts value is string {
  if (typeof value !== 'string' || value === '') throw argumentError('text', what, value)
}

/** @throws MagrpoError `ERR_ARGUMENT` unless it is a list */
export function expectList(value: unknown, what: string): asserts value is readonly unknown[] {
  if (!Array.isArray(value)) throw argumentError('a list', what, value)
}

/** @throws MagrpoError `ERR_ARGUMENT` unless it is a list of texts */
export function expectTexts(value: unknown, what: string): asserts value is readonly string[] {
  expectList(value, what)
  for (const [index, entry] of value.entries()) expectText(entry, `entry ${index} of ${what}`)
}

/** @throws MagrpoError `ERR_ARGUMENT` unless it is an object that is no list */
export function expectObject(value: unknown, what: string): asserts value is object {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw argumentError('an object', what, value)
}

/** @throws MagrpoError `ERR_ARGUMENT` unless it was made by the class */
export function expectInstance<T>(
  value: unknown,
  type: { readonly name: string; readonly prototype: T },
  what: string,
): asserts value is T {
  if (!(value instanceof (type as unknown as new () => T))) throw argumentError(article(type.name), what, value)
}

/** An error that says what was expected of an argument and what came. */
export function argumentError(expected: string, what: string, value: unknown): MagrpoError {
  return new MagrpoError('ERR_ARGUMENT', `Expected ${expected} as ${what} but received ${shortly(value)}.`)
}

/** A value as a message shows it, cut where it is long. */
export function shortly(value: unknown): string {
  const text = inspect(value)
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}

const article = (name: string) => `${/^[AEIOU]/.test(name) ? 'an' : 'a'} ${name}`
