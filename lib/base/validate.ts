import { type Document, isMap, isNode, isPair, LineCounter, parseDocument } from 'yaml'
import { z } from 'zod'
import { shortly } from './arguments.ts'
import { ConfigError, type ConfigIssue, MagrpoError } from './errors.ts'
import { nearest, suggestion } from './nearest.ts'

/** Separates the messages of one zod issue that stands for several unknown keys. */
const separator = '\u0000'

/**
 * A strict object of the configuration: a key it does not know is an error that names the nearest one it does.
 *
 * @param shape zod schemas by key
 * @param more `known`: further keys that are taken off before; `elsewhere`: paths of keys that are looked for here, such as
 *   `optimizer.learningRate`
 */
export function section<Shape extends z.ZodRawShape>(
  shape: Shape,
  more: { known?: readonly string[]; elsewhere?: Readonly<Record<string, string>> } = {},
) {
  const known = [...Object.keys(shape), ...(more.known ?? [])]
  const hint = (key: string) => {
    const path = more.elsewhere?.[key] ?? (nearest(key, known) ? undefined : elsewhereOf(key, more.elsewhere))
    return path === undefined ? suggestion(key, known) : `did you mean ${JSON.stringify(path)}?`
  }
  return z.strictObject(shape, {
    error: (issue) =>
      issue.code === 'unrecognized_keys'
        ? (issue.keys as string[]).map((key) => `unknown key; ${hint(key)}`).join(separator)
        : undefined,
  })
}

/** A field for each option of an interface: neither can have what the other lacks. */
export type FieldsOf<Options> = Record<keyof Options, z.ZodType>

function elsewhereOf(key: string, elsewhere: Readonly<Record<string, string>> = {}): string | undefined {
  return elsewhere[nearest(key, Object.keys(elsewhere)) ?? '']
}

/** One of a few words; another one is an error that names the nearest. */
export function choice<const Words extends readonly [string, ...string[]]>(words: Words) {
  return z.enum(words, {
    error: (issue) =>
      typeof issue.input === 'string' && !words.includes(issue.input)
        ? `unknown value ${JSON.stringify(issue.input)}; ${suggestion(issue.input, words)}`
        : `expected one of ${words.join(', ')}`,
  })
}

/** Where something stands in a YAML file: one-based lines by path. */
export interface Lines {
  /** Line of the key at a path, or of the nearest part of the path that is there; undefined without a file. */
  at(path: readonly PropertyKey[]): number | undefined
}

/** For values that came from no file. */
export const noLines: Lines = { at: () => undefined }

/** What {@link validate} gives: the value with its defaults, or all that is wrong with it. */
export type Validated<T> = { value: T; issues: null } | { value: null; issues: ConfigIssue[] }

/**
 * Checks a value against a schema and collects everything that is wrong, not only the first.
 *
 * @param prefix path of the value in the whole configuration
 */
export function validate<T>(
  schema: z.ZodType<T>,
  input: unknown,
  lines: Lines = noLines,
  prefix: readonly PropertyKey[] = [],
): Validated<T> {
  // A promise has no keys, and so would pass for an object in which nothing is said.
  if (input instanceof Promise)
    return { value: null, issues: [located(prefix, 'expected a value; received a promise: await it first', lines)] }
  const result = schema.safeParse(input)
  if (result.success) return { value: result.data, issues: null }
  const issues = result.error.issues.flatMap((issue) => flatten(issue, input))
  // Of several messages about one value the last has the narrowest bound.
  const byPath = new Map(issues.map((issue) => [JSON.stringify(issue.path.map(String)), issue]))
  return {
    value: null,
    issues: [...byPath.values()].map(({ path, message }) => located([...prefix, ...path], message, lines)),
  }
}

/**
 * A value with its defaults.
 *
 * @param where what the error calls the value
 * @throws ConfigError listing everything that is wrong
 */
export function resolve<T>(schema: z.ZodType<T>, input: unknown, where: string): T {
  const { value, issues } = validate(schema, input)
  if (issues !== null) throw new ConfigError(issues, where)
  return value
}

/** Options as a caller gives them: those with a default may be left out. */
export type OptionsOf<Shape extends z.ZodRawShape> = z.input<z.ZodObject<Shape>>

/**
 * Options of a shape, checked and with their defaults.
 *
 * @param known further keys that there may be, which are left out
 * @throws ConfigError as {@link resolve}
 */
export function readOptions<Shape extends z.ZodRawShape>(
  where: string,
  shape: Shape,
  options: object,
  known: readonly string[] = [],
): z.output<z.ZodObject<Shape>> {
  const isPlain =
    typeof options === 'object' && options !== null && !Array.isArray(options) && !(options instanceof Promise)
  const own = isPlain ? Object.fromEntries(Object.entries(options).filter(([key]) => !known.includes(key))) : options
  return resolve(section(shape, { known }), own, where) as z.output<z.ZodObject<Shape>>
}

/** An issue with its path as text and the line it stands on. */
export function located(path: readonly PropertyKey[], message: string, lines: Lines): ConfigIssue {
  const line = lines.at(path)
  return { path: path.map(String).join('.'), message: line === undefined ? message : `${message} (line ${line})` }
}

interface FlatIssue {
  path: PropertyKey[]
  message: string
}

function flatten(issue: z.core.$ZodIssue, input: unknown, base: readonly PropertyKey[] = []): FlatIssue[] {
  const path = [...base, ...issue.path]
  if (issue.code === 'unrecognized_keys') {
    const messages = issue.message.split(separator)
    return issue.keys.map((key, index) => ({ path: [...path, key], message: messages[index] ?? issue.message }))
  }
  if (issue.code === 'invalid_union') {
    // Of several forms the one is meant that gets past its own top level.
    const meant = issue.errors.find((errors) => errors.every((inner) => inner.path.length > 0 || hasKeys(inner)))
    if (meant) return meant.flatMap((inner) => flatten(inner, input, path))
    return [{ path, message: withReceived(issue.errors.map(firstMessage).join(', or '), valueAt(input, path)) }]
  }
  return [{ path, message: withReceived(tidy(issue.message), valueAt(input, path)) }]
}

const hasKeys = (issue: z.core.$ZodIssue) => issue.code === 'unrecognized_keys'
const firstMessage = (errors: z.core.$ZodIssue[]) => tidy(errors[0]?.message ?? 'another form')

/** A message of zod in this project's form: what was expected, without the type that came instead. */
const tidy = (text: string) =>
  text
    .replace(/^(?:Invalid \w+|Too (?:small|big)): /, '')
    .replace(/, received \w+$/, '')
    .replace(/^expected object$/, 'expected an object')
    .replace(/^expected array$/, 'expected a list')

function withReceived(message: string, value: unknown): string {
  if (value === undefined) return `missing; ${message}`
  if (message.startsWith('unknown ')) return message
  return `${message}; received ${shortly(value)}`
}

function valueAt(input: unknown, path: readonly PropertyKey[]): unknown {
  let value = input
  for (const key of path) {
    if (typeof value !== 'object' || value === null) return undefined
    value = (value as Record<PropertyKey, unknown>)[key]
  }
  return value
}

/**
 * Reads YAML text into a plain value and remembers lines.
 *
 * @param where file name for messages
 * @throws MagrpoError `ERR_CONFIG` with file and line if the text is no YAML or its top level has no keys
 */
export function readYaml(text: string, where: string): { value: Record<string, unknown>; lines: Lines } {
  const counter = new LineCounter()
  const document = parseDocument(text, { lineCounter: counter, prettyErrors: false })
  const broken = document.errors[0]
  if (broken !== undefined) {
    const { line, col } = counter.linePos(broken.pos[0])
    throw new MagrpoError('ERR_CONFIG', `${where}, line ${line}, column ${col}: not valid YAML: ${broken.message}`, {
      details: { file: where, line },
    })
  }
  if (!isMap(document.contents)) {
    const message = `${where}: expected keys and values at the top level (for example "steps: 100").`
    throw new MagrpoError('ERR_CONFIG', message, { details: { file: where, line: 1 } })
  }
  return { value: document.toJS() as Record<string, unknown>, lines: { at: (path) => lineAt(document, counter, path) } }
}

function lineAt(document: Document, counter: LineCounter, path: readonly PropertyKey[]): number | undefined {
  let node: unknown = document.contents
  let offset: number | undefined
  for (const key of path) {
    if (isMap(node)) {
      const pair = node.items.find((item) => isPair(item) && String(item.key) === String(key))
      if (pair === undefined) break
      if (isNode(pair.key) && pair.key.range) offset = pair.key.range[0]
      node = pair.value
    } else if (typeof node === 'object' && node !== null && 'items' in node) {
      const item = (node.items as unknown[])[Number(key)]
      if (isNode(item) && item.range) offset = item.range[0]
      node = item
    } else break
  }
  return offset === undefined ? undefined : counter.linePos(offset).line
}
