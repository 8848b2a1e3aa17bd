/** JSON Schemas of the configuration files: the schemas they are checked with, described by the docstrings of the same names in the API. */
import { z } from 'zod'
import { compareSchema } from '../../lib/compare/config.ts'
import { configSchema } from '../../lib/config/schema.ts'
import { taskNames, taskRegistry } from '../../lib/tasks/names.ts'
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

/** Keys that the API spells otherwise, or does not have: a configuration names what a program builds. */
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
  trackers:
    'Where metrics go besides the run folder: `tensorboard`, or a module that exports a tracker and its options.',
  'trackers.module': 'Path of a module whose default export is a tracker or makes one.',
  'trackers.options': 'What is handed to it.',
}

/** Interfaces that describe the keys of a section. */
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

const ownOfComparisons: Record<string, string> = {
  name: 'Name of the comparison. Defaults to the name of the file.',
  task: 'The task all methods play, on its held-out items.',
  team: 'The team of methods that name none.',
  sampling: 'How completions are drawn. What is left out comes from the task, then from the defaults.',
  items: 'Held-out items, from the first on. Defaults to all.',
  samples: 'Joint completions an item and seed.',
  seeds: 'So many seeds, from 0 on, or a list of them.',
  timedItems: 'Items generated alone for speed and response time; `0` leaves both out.',
  metrics: 'Prefixes of the task’s metrics that get a table. Defaults to those of the task.',
  maxRows: 'Most rows of one batch of generation. Defaults to what the task’s length allows.',
  methods: 'What is compared, in the order of the rows.',
  'methods.name': 'What the row is called.',
  'methods.baseline':
    'An untrained way to play: `single`, `parallel`, `pipeline`, `discussion`. Left out, the team plays.',
  'methods.team': 'Its team, in the place of the comparison’s.',
  'methods.run': 'A run folder whose weights it has, or one a seed.',
  'methods.train': 'A configuration (or its file) that is trained first, once a seed.',
  'methods.weights': 'Which weights of a run: `final`, `best`, or `initial`. Defaults to `final`.',
  'methods.agent': 'Whose weights a single model has. Defaults to what the task says.',
  'methods.retrain': 'Whether finished trainings of an earlier comparison in the same folder are done again.',
  'methods.missingDelimiter':
    'What a single model’s answer without a delimiter is worth: nothing (`strict`), or a cut at random (`cut`).',
  'methods.turns': 'Turns of an episode. Defaults to those of the run or the training, else to 1.',
  'methods.sampling': 'How it draws, in the place of the comparison’s.',
}

/** Schema of a run's configuration. */
export function runJsonSchema(docstrings: Docstrings): JsonSchema {
  const schema = toJson(configSchema)
  describe(schema, '', (path, key) => own[join(path, key)] ?? docstrings.of(interfaces[path] ?? [], key))
  schema.properties!.task = { ...taskSchema(), description: own.task }
  return { ...schema, title: 'magrpo run' }
}

/** Schema of a comparison's configuration. */
export function compareJsonSchema(docstrings: Docstrings): JsonSchema {
  const schema = toJson(compareSchema)
  const nested = (path: string) => interfaces[path.replace(/^methods\.?/, '')] ?? []
  const text = (path: string, key: string) =>
    ownOfComparisons[join(path, key)] ??
    own[join(path, key).replace(/^methods\./, '')] ??
    docstrings.of(nested(path), key)
  describe(schema, '', text)
  schema.properties!.task = { ...taskSchema(), description: ownOfComparisons.task }
  return { ...schema, title: 'magrpo comparison' }
}

function taskSchema(): JsonSchema {
  const named = taskNames.map((name): JsonSchema => {
    const entry = taskRegistry[name]
    const options = toJson(entry.options)
    describe(options, '', () => undefined)
    const { type, properties, required = [], additionalProperties } = options
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
    description: 'a task of your own',
    type: 'object',
    properties: {
      module: {
        type: 'string',
        description: 'Path of a module whose default export is a task, or a function that makes one.',
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
  return { anyOf: [{ enum: [...taskNames] }, path, ...named, module] }
}

function toJson(schema: z.ZodType): JsonSchema {
  return z.toJSONSchema(schema, { io: 'input' }) as JsonSchema
}

/** Puts descriptions to all properties. @throws Error naming those that have none */
function describe(schema: JsonSchema, path: string, textOf: (path: string, key: string) => string | undefined): void {
  const missing = describeAll(schema, path, textOf)
  if (missing.length > 0) throw new Error(`without description: ${missing.join(', ')}`)
}

function describeAll(
  schema: JsonSchema,
  path: string,
  textOf: (path: string, key: string) => string | undefined,
): string[] {
  return Object.entries(schema.properties ?? {}).flatMap(([key, property]) => {
    property.description ??= textOf(path, key)
    const below = partsOf(property).flatMap((part) => describeAll(part, join(path, key), textOf))
    return property.description === undefined ? [join(path, key), ...below] : below
  })
}

/** The schemas that may have keys: the property's own, those of its alternatives, and those of a list's entries. */
export function partsOf(property: JsonSchema): JsonSchema[] {
  return [property, ...(property.anyOf ?? [])].flatMap((part) =>
    part.items ? [part.items, ...(part.items.anyOf ?? [])] : [part],
  )
}

const join = (path: string, key: string) => (path === '' ? key : `${path}.${key}`)
