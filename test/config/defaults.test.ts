/** Docstrings of options name their defaults; the schemas hold them. Both say the same. */
import test from 'ava'
import { configSchemas, type JsonSchema, partsOf } from '../../scripts/docs/json-schemas.ts'

/** Each option with a default that is a plain value: its path, the default, and what its docstring says. */
function defaultsOf(schema: JsonSchema, path: string): { path: string; value: unknown; text: string }[] {
  return Object.entries(schema.properties ?? {}).flatMap(([key, property]) => {
    const { default: value, description: text = '' } = property
    const below = partsOf(property).flatMap((part) => defaultsOf(part, `${path}.${key}`))
    const isPlain = value !== undefined && (typeof value !== 'object' || value === null)
    return isPlain ? [{ path: `${path}.${key}`, value, text }, ...below] : below
  })
}

test('the docstring of an option says the default that it has', (t) => {
  const { run, compare } = configSchemas()
  const options = [...defaultsOf(run, 'run'), ...defaultsOf(compare, 'compare')]
  t.true(options.length > 80)
  for (const { path, value, text } of options) {
    const [, said] = /Defaults to `([^`]+)`/.exec(text) ?? []
    // A default of null is told in words: what stands in its place.
    if (value === null && said === undefined) continue
    t.true(said === String(value) || Number(said) === value, `${path}: ${text} (${String(value)})`)
  }
})
