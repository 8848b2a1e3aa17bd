/**
 * A value as messages show it: JSON, and `NaN` and `Infinity` by their names, which JSON writes as null. A number too large for
 * a float, such as `1e400`, has become `Infinity` when it was read.
 */
export function inspect(value: unknown): string {
  if (typeof value === 'number') return String(value)
  const named = (_key: string, each: unknown) =>
    typeof each === 'number' && !Number.isFinite(each) ? String(each) : each
  return JSON.stringify(value, named) ?? (value === undefined ? 'nothing' : String(value))
}
