/**
 * A value as messages show it: JSON, and `NaN` and `Infinity` by their names, which JSON writes as null. A number too large for
 * a float, such as `1e400`, has become `Infinity` when it was read. What is not plain data is shown by its kind. It never throws.
 */
export function inspect(value: unknown): string {
  if (typeof value === 'number') return String(value)
  if (typeof value === 'bigint') return `${value}n`
  if (typeof value === 'function') return value.name === '' ? 'a function' : `the function ${value.name}`
  try {
    const kind = kindOf(value)
    if (kind !== undefined) return kind
    const named = (_key: string, each: unknown) => {
      if (typeof each === 'bigint') return `${each}n`
      return typeof each === 'number' && !Number.isFinite(each) ? String(each) : each
    }
    return JSON.stringify(value, named) ?? (value === undefined ? 'nothing' : String(value))
  } catch {
    return Array.isArray(value) ? 'a list' : 'an object' // that refers to itself, or is too deep
  }
}

/** The name of a class for what is no plain object, undefined for what JSON can show. */
function kindOf(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || 'toJSON' in value) return undefined
  const prototype = Object.getPrototypeOf(value) as object | null
  if (prototype === null || prototype === Object.prototype || Object.getPrototypeOf(prototype) === null)
    return undefined
  const name = value.constructor?.name
  return name ? `${/^[AEIOU]/.test(name) ? 'an' : 'a'} ${name}` : undefined
}
