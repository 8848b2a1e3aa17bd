/**
 * The schema of a run's configuration. It puts the sections of the TypeScript API together, so that a setting has one name, one
 * meaning and one default everywhere.
 */
import { z } from 'zod'
import { flag, integer, text, unfilled } from '../base/fields.ts'
import { choice, section } from '../base/validate.ts'
import { adapterShape } from '../model/lora-options.ts'
import { samplingSection } from '../model/sampling.ts'
import { algorithmNames } from '../rl/algorithms/registry.ts'
import { settingsOfSections } from '../rl/options/elsewhere.ts'
import { optimizerSection } from '../rl/options/optimizer.ts'
import { runShape } from '../rl/options/run.ts'
import { checkpointShape } from '../run/checkpoint-options.ts'
import { choiceSchema } from './choice.ts'

const adapterSection = section(adapterShape)

const deviceName = z.string().regex(/^(auto|cpu|cuda:\d+)$/, 'expected auto, cpu or cuda:N')

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
  /** `auto` is that of the files. Defaults to `auto`. */
  dtype: choice(['auto', 'float32', 'bfloat16']).default('auto'),
  /** `auto` is the first GPU if there is one, else the CPU. Defaults to `auto`. */
  device: deviceName.default('auto'),
  /**
   * A device for each agent, in place of `device`: a list in the order of the agents, or by their names. Models of different devices work at
   * the same time. An agent's reference and critic are on its device; by names, `references` and `critics` say another for all of them.
   */
  devices: z.union([z.array(deviceName).min(1), z.record(text(), deviceName)]).optional(),
  /**
   * What the processes of a run divide among themselves: `data`, the prompts of each step; or `agents`, so that each process holds and
   * trains some of the agents only (with more processes than agents, prompts too). Defaults to `data`.
   */
  ranks: choice(['data', 'agents']).optional(),
  /** `full` trains all weights; else a LoRA adapter per agent over one frozen base. */
  adapter: z.union([z.literal('full'), adapterSection]).default(adapterSection.parse({})),
})

/** Schema of how completions are drawn; what is left out comes from the task, then from the defaults. */
export const samplingSchema = section(unfilled(samplingSection.shape))

/** A name that can be that of a folder. */
export const nameSchema = z.string().regex(/^\w[\w.-]*$/, 'expected letters, digits, dots, dashes and underscores')

const configShape = {
  /** Name of the run. Defaults to the name of the file. */
  name: nameSchema.optional(),
  /** Folder the run is recorded in. Defaults to `runs/` and the name, with a number behind it if there is one already. */
  runDir: text().optional(),
  /** Who learns. */
  team: teamSchema,
  /** Name of a built-in task, or its settings, or a module of your own. */
  task: choiceSchema,
  /** How the team learns. */
  algorithm: z.looseObject({ name: choice(algorithmNames).default('magrpo') }).default({ name: 'magrpo' }),
  /** How completions are drawn. What is left out comes from the task, then from the defaults below. */
  sampling: samplingSchema.default({}),
  /** AdamW. */
  optimizer: section(unfilled(optimizerSection.shape)),
  ...unfilled(runShape),
  seed: runShape.seed,
  ...unfilled(checkpointShape),
  /**
   * Processes of this machine that train together, each a share of a step's prompts: the same run for any number of them. A launcher
   * (torchrun, srun, mpirun) goes before it. Defaults to `1`.
   */
  processes: integer({ from: 1 }).optional(),
  /** Where metrics go besides the run folder: names or settings of built-in trackers, or modules of your own. */
  trackers: z.array(choiceSchema).default([]),
}

/** The whole configuration; what `task`, `algorithm` and `trackers` choose is checked by its own schema afterwards. */
export const configSchema = section(configShape, { elsewhere: settingsOfSections })

/** A configuration as the schema leaves it: defaults that need the task or the team are still open. */
export type RawConfig = z.infer<typeof configSchema>

/** Settings of the team. */
export type TeamConfig = RawConfig['team']
