/** Options of the code tasks. */
import { z } from 'zod'
import { choice, type OptionsOf, section } from '../../base/validate.ts'
import type { SandboxOptions } from '../../sandbox/types.ts'
import { type ItemSource, sourceOptions } from '../datasets/source.ts'
import { agents, chat, rules } from '../task/options.ts'
import type { CodeItem } from './item.ts'

/**
 * How much the next prompts say. `plain`: only to revise; `passed`: whether everything passed; `level_passed`: a line per level;
 * `level_feedback`: the whole history and every diagnostic; `expert_edits`: what an expert model would change.
 */
export const feedbackModes = ['plain', 'passed', 'level_passed', 'level_feedback', 'expert_edits'] as const

/** One of {@link feedbackModes}. */
export type FeedbackMode = (typeof feedbackModes)[number]

/** Settings of what agents are told after a turn. */
const feedbackSettings = {
  feedback: choice(feedbackModes)
    .default('level_feedback')
    .describe('What agents read after a turn, see docs/tasks/feedback.md.'),
  sandboxSlice: z
    .union([z.int(), z.literal('all')])
    .default(1)
    .describe(
      'Asserts whose results feedback may show: the first so many, all (`0`, `all`), the last so many (negative). The others run too.',
    ),
  originalPrompt: z
    .boolean()
    .default(true)
    .describe("Show the first turn's prompt again. `level_feedback` always shows it, as part of the history."),
  previousResponse: z
    .boolean()
    .default(true)
    .describe('Show the agent its function of the turn before. `level_feedback` always shows it.'),
  chat,
}

/** {@link feedbackSettings} with their defaults. */
export type FeedbackSettings = z.output<z.ZodObject<typeof feedbackSettings>>

/** Which asserts feedback shows. */
export type SandboxSlice = number | 'all'

/** Settings besides items, sandbox and expert. */
export const codeSettings = {
  rules,
  agents,
  ...feedbackSettings,
  rewardScale: z
    .number()
    .positive()
    .default(1)
    .describe('The total is multiplied by it and then shifted; the parts stay as they are.'),
  rewardShift: z
    .number()
    .default(0)
    .describe('Added to the scaled total; `-4` makes full marks 0, as in the published multi-turn experiments.'),
}

/** Where the expert is and how it is asked. */
export const expertOptions = {
  url: z
    .string()
    .min(1)
    .describe(
      'Base URL of the endpoint, up to and including its version (`http://localhost:8000/v1`); `/chat/completions` is added.',
    ),
  model: z.string().min(1).describe('Name of the model, as the endpoint knows it.'),
  keyVariable: z
    .string()
    .min(1)
    .optional()
    .describe('Name of the environment variable that holds the key. Defaults to none: no key is sent.'),
  temperature: z.number().min(0).default(0.3).describe('Sampling temperature of the edits.'),
  maxTokens: z.int().min(1).default(2048).describe('Longest answer, in tokens.'),
  attempts: z.int().min(1).default(3).describe('How often an edit is asked for before the turn goes on without.'),
  timeoutMs: z.number().positive().default(60_000).describe('Time limit of one attempt, milliseconds.'),
  backoffMs: z
    .number()
    .min(0)
    .default(1000)
    .describe('Wait before the second attempt, milliseconds; it doubles with each further one.'),
  concurrency: z.int().min(1).default(8).describe('Requests under way at once.'),
}

/** Whom `expert_edits` asks. */
export interface ExpertOptions extends OptionsOf<typeof expertOptions> {
  /** Takes a warning, once per cause. */
  log?: (message: string) => void
}

/** The sandbox as configurations choose it. */
export const sandboxSettings = {
  sandbox: choice(['bubblewrap', 'process'])
    .default('bubblewrap')
    .describe('Where programs run; `process` has limits only and is no security boundary.'),
  workers: z.int().min(1).optional().describe('Programs that run at the same time. Defaults to the number of cores.'),
}

/** Options of the sandbox from {@link sandboxSettings}. */
export function sandboxOptionsOf(
  { sandbox, workers }: z.output<z.ZodObject<typeof sandboxSettings>>,
  log?: (message: string) => void,
): SandboxOptions {
  return { mode: sandbox, ...(workers && { workers }), ...(log && { log }) }
}

/** All options, as a configuration gives them. */
export const codeOptions = {
  ...sourceOptions,
  ...codeSettings,
  expert: section(expertOptions).optional().describe('Whom `expert_edits` asks.'),
  ...sandboxSettings,
}

/** The two sources of a code task from published problems. */
export interface CodeSources {
  /** The problems to train on: a file, a data set of the hub or a named split (`paper`), see {@link ItemSource}; or themselves. */
  train: ItemSource<CodeItem>
  /** Held-out problems for evaluation. Defaults to none. */
  heldOut?: ItemSource<CodeItem>
  /** Told of downloads. */
  log?: (message: string) => void
}
