/** The configuration reference as a page. */
import { type JsonSchema, partsOf } from './json-schemas.ts'

/** The page of both schemas. */
export function configPage(run: JsonSchema, compare: JsonSchema): string {
  const builtIn = ({ anyOf = [] }: JsonSchema) => anyOf.filter(({ properties }) => properties?.name)
  const tasks = builtIn(run.properties!.task!)
  const trackers = builtIn(run.properties!.trackers!.items!)
  const { team: _, sampling: __, ...ofMethods } = compare.properties!.methods!.items!.properties!
  return `# Configuration

Made of the schemas by \`npm run docs\`. What \`magrpo train FILE\` reads is YAML; \`--set path.to.key=value\` puts a value over the file's. An
unknown key is an error that names the nearest known one. Paths are relative to the working directory.

Editors complete and check a file whose first line names its schema, for instance with the YAML language server:

\`\`\`yaml
# yaml-language-server: $schema=node_modules/magrpo/schemas/run.json
team: { model: builtin:mini-code }
task: mini-code
optimizer: { learningRate: 5.0e-4 }
steps: 80
\`\`\`

\`schemas/compare.json\` is that of comparisons.

## A run

${table(run, ['task', 'trackers'])}

### task

A name alone, or \`name\` with these settings; for a task of your own the path of its module, or \`{ module, options }\`.

${tasks.map((task) => `#### ${task.title}: ${task.description}\n\n${table(task, ['name'])}`).join('\n\n')}

### trackers

A list. Each tracker is a name alone, or \`name\` with these settings; for a tracker of your own the path of its module, or \`{ module, options }\`.

${trackers.map((tracker) => `#### ${tracker.title}: ${tracker.description}\n\n${table(tracker, ['name'])}`).join('\n\n')}

## A comparison

What \`magrpo compare FILE\` reads. \`task\`, \`team\` and \`sampling\` are as above.

${table({ ...compare, properties: { ...compare.properties, methods: { ...compare.properties!.methods, items: { properties: ofMethods } } } }, ['task', 'team', 'sampling'])}
`
}

/** All keys with their sections below them; a section that is \`closed\` gets one row. */
function table(schema: JsonSchema, closed: readonly string[]): string {
  return ['| key | values | default | meaning |', '| --- | --- | --- | --- |', ...rows(schema, '', closed)].join('\n')
}

function rows(schema: JsonSchema, prefix: string, closed: readonly string[]): string[] {
  const required = schema.required ?? []
  return Object.entries(schema.properties ?? {}).flatMap(([key, property]) => {
    if (property.const !== undefined) return []
    const name = `${prefix}${key}`
    const standard = property.default === undefined || isSection(property) ? '' : code(property.default)
    const fallback = required.includes(key) ? 'required' : standard
    const own = `| \`${name}\` | ${values(property)} | ${fallback} | ${cell(property.description ?? '')} |`
    if (closed.includes(name)) return [own]
    return [own, ...partsOf(property).flatMap((part) => rows(part, `${name}.`, closed))]
  })
}

const isSection = (property: JsonSchema) => property.properties !== undefined

function values(property: JsonSchema): string {
  const { anyOf, enum: words, const: word, type, items, prefixItems, properties } = property
  if (anyOf) return [...new Set(anyOf.map(values))].join(' or ')
  if (words) return words.map(code).join(', ')
  if (word !== undefined) return code(word)
  if (properties) return 'a section'
  if (prefixItems) return `${prefixItems.length} numbers`
  if (type === 'array') return `a list${items ? ` of ${values(items)}` : ''}`
  if (type === 'null') return '`null`'
  if (type === 'object') return 'by name'
  if (type === 'integer' || type === 'number') return numbers(property)
  return { string: 'text', boolean: '`true`, `false`' }[type ?? ''] ?? 'anything'
}

function numbers({ type, minimum, maximum, exclusiveMinimum, exclusiveMaximum }: JsonSchema): string {
  const what = type === 'integer' ? 'integer' : 'number'
  const shown = (value: number) => (value > 1e6 ? '2³²-1' : String(value))
  const bounds = [
    exclusiveMinimum !== undefined ? `above ${shown(exclusiveMinimum)}` : '',
    minimum !== undefined && minimum > -1e6 ? `from ${shown(minimum)}` : '',
    exclusiveMaximum !== undefined ? `below ${shown(exclusiveMaximum)}` : '',
    maximum !== undefined && maximum < Number.MAX_SAFE_INTEGER ? `to ${shown(maximum)}` : '',
  ].filter((text) => text !== '')
  return [what, ...bounds].join(' ')
}

const code = (value: unknown) => `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``
const cell = (text: string) => text.replaceAll('|', '\\|')
