/** JSON Schemas of the configuration files, from the schemas that they are checked with. */
import type { z } from 'zod'
import { toJSONSchema } from 'zod'
import { compareSchema } from '../../lib/compare/config.ts'
import { configSchema } from '../../lib/config/schema.ts'
import { algorithmSection } from '../../lib/rl/algorithms/registry.ts'
import { taskRegistry } from '../../lib/tasks/names.ts'
import { trackerRegistry } from '../../lib/track/names.ts'
import { readDocstrings } from './docstrings.ts'

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

/** Sections whose docstrings describe the keys at a path, by the names of their constants. */
const sections: Record<string, string[]> = {
  '': ['configShape', 'runShape', 'rewardCallShape', 'checkpointShape'],
  team: ['teamSchema'],
  'team.adapter': ['adapterShape'],
  algorithm: ['algorithmSection', 'anyBaseline', 'groupShape', 'policyLossShape', 'actorCriticShape'],
  'algorithm.clip': ['clipSection'],
  'algorithm.kl': ['klSection'],
  'algorithm.critic': ['criticSection'],
  sampling: ['samplingSection'],
  optimizer: ['optimizerSection', 'stepShape'],
}

/** As {@link sections}, of a comparison where it differs. */
const sectionsOfComparisons: Record<string, string[]> = {
  '': ['compareSchema', 'rewardCallShape'],
  methods: ['methodSchema'],
}

/** Both schemas, and the paths of the keys that nothing describes. */
export interface ConfigSchemas {
  run: JsonSchema
  compare: JsonSchema
  undescribed: string[]
}

/** Sections within a task's settings. */
const sectionsOfTasks: Record<string, string[]> = {
  train: ['sourceKeys'],
  heldOut: ['sourceKeys'],
  expert: ['expertOptions'],
  reward: ['pythonRewardOptions'],
}

/** Folders of what tasks share, behind a task's own. */
const sharedFolders = ['datasets', 'baselines', 'writing', 'code', 'task'].map((name) => `tasks/${name}/`)

/** The schemas of a run's configuration and of a comparison's. A key means what the docstring of its field says. */
export function configSchemas(): ConfigSchemas {
  const docs = readDocstrings()
  const look = (names: readonly string[] = [], key: string) =>
    names.flatMap((name) => docs.find((section) => section.name === name)?.fields.get(key) ?? [])[0]
  const lookIn = (places: readonly string[], key: string) =>
    places.flatMap((place) =>
      docs.filter(({ file }) => file.startsWith(place)).flatMap(({ fields }) => fields.get(key) ?? []),
    )[0]
  const undescribed: string[] = []
  const described = (schema: z.ZodType, textOf: (path: string, key: string) => string | undefined) => {
    const json = toJson(schema)
    undescribed.push(...describe(json, '', textOf))
    return json
  }
  const ofTask = (name: string) => (path: string, key: string) =>
    path === '' ? lookIn([`tasks/${name}/`, ...sharedFolders], key) : look(sectionsOfTasks[path], key)
  const tasks = choiceOf('task', taskRegistry, (name, schema) => described(schema, ofTask(name)))
  const run: JsonSchema = { ...toJson(configSchema), title: 'magrpo run' }
  const compare: JsonSchema = { ...toJson(compareSchema), title: 'magrpo comparison' }
  const { algorithm, trackers } = run.properties!
  Object.assign(algorithm!, toJson(algorithmSection))
  undescribed.push(
    ...describe(run, '', (path, key) => look(sections[path], key)),
    ...describe(compare, '', (path, key) =>
      look(sectionsOfComparisons[path] ?? sections[path.replace(/^methods\./, '')], key),
    ),
  )
  for (const schema of [run, compare]) Object.assign(schema.properties!.task!, tasks)
  trackers!.items = choiceOf('tracker', trackerRegistry, (name, schema) =>
    described(schema, (_path, key) => lookIn([`track/${name}.ts`], key)),
  )
  return { run, compare, undescribed: [...new Set(undescribed)] }
}

/** What stands for a choice from a registry, as `readChoice` reads it. */
function choiceOf(
  what: string,
  registry: Record<string, { about: string; options: z.ZodType }>,
  toSchema: (name: string, options: z.ZodType) => JsonSchema,
): JsonSchema {
  const named = Object.entries(registry).map(([name, entry]): JsonSchema => {
    const { type, properties, required = [], additionalProperties } = toSchema(name, entry.options)
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
