/**
 * The schema of a run's configuration. It puts the sections of the TypeScript API together, so that a setting has one name, one
 * meaning and one default everywhere.
 */
import { z } from 'zod'
import { flag, text, unfilled } from '../base/fields.ts'
import { choice, section } from '../base/validate.ts'
import { adapterShape } from '../model/lora-options.ts'
import { samplingSection } from '../model/sampling.ts'
import { algorithmNames } from '../rl/algorithms/registry.ts'
import { optimizerSection } from '../rl/options/optimizer.ts'
import { runShape } from '../rl/options/run.ts'
import { checkpointShape } from '../run/checkpoint-options.ts'
import { trackerNames } from '../track/names.ts'

const adapterSection = section(adapterShape)

/** Schema of a team. */
export const teamSchema = section({
  /** Names of the agents. Defaults to those of the task. */
  agents: z.array(text()).min(1).optional(),
  /** One model for all agents: a folder, `org/name` on the hub, `fixture:NAME` (see docs/models.md) or `builtin:mini-code`. */
  model: text().optional(),
  /** A model for each agent: a list in the order of the agents, or by their names. */
  models: z.union([z.array(text()).min(1), z.record(text(), text())]).optional(),
  /** One policy for all agents, each with its own prompt. Defaults to `false`. */
  sharedWeights: flag().optional(),
  /** Model of separate critics. Defaults to a copy of the agent’s own. */
  critic: text().optional(),
  /** `auto` is that of the files. */
  dtype: choice(['auto', 'float32', 'bfloat16']).default('auto'),
  /** `auto` is the first GPU if there is one, else the CPU. */
  device: z
    .string()
    .regex(/^(auto|cpu|cuda:\d+)$/, 'expected auto, cpu or cuda:N')
    .default('auto'),
  /** `full` trains all weights; else a LoRA adapter per agent over one frozen base. */
  adapter: z.union([z.literal('full'), adapterSection]).default(adapterSection.parse({})),
})

/** Schema of how completions are drawn; what is left out comes from the task, then from the defaults. */
export const samplingSchema = section(unfilled(samplingSection.shape))

/** A tracker by name, or a module that exports one. */
const trackerSchema = z.union([choice(trackerNames), section({ module: text(), options: z.unknown().optional() })])

/** A name that can be that of a folder. */
export const nameSchema = z.string().regex(/^\w[\w.-]*$/, 'expected letters, digits, dots, dashes and underscores')

/** A task by name, by path, or with its settings; checked by its own schema afterwards. */
export const taskSchema = z.union([text(), z.looseObject({})])

/** The whole configuration; `task` and `algorithm` are checked by their own schemas afterwards. */
export const configSchema = section({
  /** Name of the run. Defaults to the name of the file. */
  name: nameSchema.optional(),
  /** Folder the run is recorded in. Defaults to `runs/` and the name. */
  runDir: text().optional(),
  team: teamSchema,
  task: taskSchema,
  algorithm: z.looseObject({ name: choice(algorithmNames).default('magrpo') }).default({ name: 'magrpo' }),
  sampling: samplingSchema.default({}),
  optimizer: section(unfilled(optimizerSection.shape)),
  ...unfilled(runShape),
  seed: runShape.seed,
  ...unfilled(checkpointShape),
  trackers: z.array(trackerSchema).default([]),
})

/** A configuration as the schema leaves it: defaults that need the task or the team are still open. */
export type RawConfig = z.infer<typeof configSchema>

/** Settings of the team. */
export type TeamConfig = RawConfig['team']

/** A user's own task: a module that exports a task, or a function that makes one of `options`. */
export interface TaskModule {
  module: string
  options?: unknown
}
