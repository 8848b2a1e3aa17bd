/** JSON Schemas of the configuration files, from the schemas that they are checked with. */
import type { z } from 'zod'
import { toJSONSchema } from 'zod'
import { compareSchema } from '../../lib/compare/config.ts'
import { configSchema } from '../../lib/config/schema.ts'
import { taskRegistry } from '../../lib/tasks/names.ts'
import { trackerRegistry } from '../../lib/track/names.ts'
import type { Docstrings } from './docstrings.ts'

/** What is used of JSON Schema. */
export interface JsonSchema {
  $schema?: string
  title?: string
  description?: string
  type?: string
  const?: unknown
  enum?: unknown[]
  default?: unknown
  anyOf?: JsonSchema[]
  items?: JsonSchema
  prefixItems?: JsonSchema[]
  properties?: Record<string, JsonSchema>
  required?: string[]
  additionalProperties?: boolean | JsonSchema
  minimum?: number
  maximum?: number
  exclusiveMinimum?: number
  exclusiveMaximum?: number
  minItems?: number
  minLength?: number
  pattern?: string
  propertyNames?: JsonSchema
}

/** Descriptions of keys whose schema has none and that no interface of the API describes. */
const own: Record<string, string> = {
  name: 'Name of the run. Defaults to the name of the file.',
  runDir: 'Folder the run is recorded in. Defaults to `runs/` and the name.',
  team: 'Who learns.',
  'team.agents': 'Names of the agents. Defaults to those of the task.',
  'team.model':
    'One model for all agents: a folder, `org/name` on the hub, `fixture:NAME` (see docs/models.md) or `builtin:mini-code`.',
  'team.models': 'A model for each agent: a list in the order of the agents, or by their names.',
  'team.sharedWeights': 'One policy for all agents, each with its own prompt. Defaults to `false`.',
  'team.critic': 'Model of separate critics. Defaults to a copy of the agent’s own.',
  'team.dtype': '`auto` is that of the files.',
  'team.device': '`auto` is the first GPU where there is one, else the CPU.',
  'team.adapter': '`full` trains all weights; else a LoRA adapter an agent over one frozen base.',
  'team.adapter.alpha': 'Scale numerator: updates are multiplied by alpha / rank. Defaults to twice the rank.',
  task: 'Name of a built-in task, or its settings, or a module of your own.',
  algorithm: 'How the team learns.',
  'algorithm.name': 'Which algorithm; docs/algorithms has a page for each.',
  sampling: 'How completions are drawn. What is left out comes from the task, then from the defaults below.',
  optimizer: 'AdamW.',
  trackers: 'Where metrics go besides the run folder: names or settings of built-in trackers, or modules of your own.',
}

/** Interfaces of the API that describe the keys of a section whose schema does not. */
const interfaces: Record<string, string[]> = {
  '': ['RecordedTrainOptions'],
  'team.adapter': ['LoraOptions'],
  algorithm: ['AlgorithmOptions', 'Algorithm'],
  'algorithm.clip': ['ClipRange'],
  'algorithm.kl': ['KlOptions'],
  'algorithm.critic': ['CriticOptions'],
  sampling: ['Sampling'],
  optimizer: ['OptimizerOptions'],
}

/** Both schemas, and the paths of the keys that nothing describes. */
export interface ConfigSchemas {
  run: JsonSchema
  compare: JsonSchema
  undescribed: string[]
}

/**
 * The schemas of a run's configuration and of a comparison's. The description of a key is that of its schema.
 *
 * @param docstrings where the descriptions of keys are looked up whose schema has none
 */
export function configSchemas(docstrings?: Docstrings): ConfigSchemas {
  const run: JsonSchema = { ...toJson(configSchema), title: 'magrpo run' }
  const compare: JsonSchema = { ...toJson(compareSchema), title: 'magrpo comparison' }
  const described = (path: string, key: string) => own[join(path, key)] ?? docstrings?.of(interfaces[path] ?? [], key)
  const task = choiceOf('task', taskRegistry)
  const { description: about = own.task } = run.properties!.task!
  run.properties!.task = { ...task, description: about }
  compare.properties!.task = { ...task, description: compare.properties!.task!.description }
  run.properties!.trackers!.items = choiceOf('tracker', trackerRegistry)
  const undescribed = [
    ...describe(run, '', described),
    ...describe(compare, '', (path, key) => described(path.replace(/^methods\.?/, ''), key)),
  ]
  return { run, compare, undescribed: [...new Set(undescribed)] }
}

/** What stands for a choice from a registry, as `readChoice` reads it. */
function choiceOf(what: string, registry: Record<string, { about: string; options: z.ZodType }>): JsonSchema {
  const named = Object.entries(registry).map(([name, entry]): JsonSchema => {
    const { type, properties, required = [], additionalProperties } = toJson(entry.options)
    return {
      title: name,
      description: entry.about,
      type,
      properties: { name: { const: name }, ...properties },
      required: ['name', ...required],
      additionalProperties,
    }
  })
  const module: JsonSchema = {
    title: 'module',
    description: `a ${what} of your own`,
    type: 'object',
    properties: {
      module: {
        type: 'string',
        description: `Path of a module whose default export is a ${what}, or a function that makes one.`,
      },
      options: { description: 'What that function gets.' },
    },
    required: ['module'],
    additionalProperties: false,
  }
  const path: JsonSchema = {
    title: 'path',
    description: 'path of a module',
    type: 'string',
    pattern: '\\.[cm]?[jt]s$|^\\.{0,2}/',
  }
  return { anyOf: [{ enum: Object.keys(registry) }, path, ...named, module] }
}

function toJson(schema: z.ZodType): JsonSchema {
  return toJSONSchema(schema, { io: 'input' }) as JsonSchema
}

/** Describes all properties that have no description yet. @returns the paths of those for which there is none */
function describe(
  schema: JsonSchema,
  path: string,
  textOf: (path: string, key: string) => string | undefined,
): string[] {
  return Object.entries(schema.properties ?? {}).flatMap(([key, property]) => {
    property.description ??= textOf(path, key)
    const below = partsOf(property).flatMap((part) => describe(part, join(path, key), textOf))
    const isDescribed = property.description !== undefined || property.const !== undefined
    return isDescribed ? below : [join(path, key), ...below]
  })
}

/** The schemas that may have keys: the property's own, those of its alternatives, and those of a list's entries. */
export function partsOf(property: JsonSchema): JsonSchema[] {
  return [property, ...(property.anyOf ?? [])].flatMap((part) =>
    part.items ? [part.items, ...(part.items.anyOf ?? [])] : [part],
  )
}

const join = (path: string, key: string) => (path === '' ? key : `${path}.${key}`)
