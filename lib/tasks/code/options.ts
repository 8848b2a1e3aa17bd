/** Options of the code tasks. */

import { z } from 'zod'
import { flag, integer, milliseconds, number, text } from '../../base/fields.ts'
import { choice, type OptionsOf, section } from '../../base/validate.ts'
import type { SandboxOptions } from '../../sandbox/types.ts'
import { type ItemSource, sourceOptions } from '../datasets/source.ts'
import { agentsOption, chatOption, ruleOption } from '../task/options.ts'
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
  /** What agents read after a turn, see docs/tasks/feedback.md. Defaults to `level_feedback`. */
  feedback: choice(feedbackModes).default('level_feedback'),
  /**
   * Asserts whose results feedback may show: the first so many, all (`0`, `all`), the last so many (negative). The others run too.
   * Defaults to `1`.
   */
  sandboxSlice: z.union([z.int(), z.literal('all')]).default(1),
  /** Show the first turn's prompt again. `level_feedback` always shows it, as part of the history. Defaults to `true`. */
  originalPrompt: flag().default(true),
  /** Show the agent its function of the turn before. `level_feedback` always shows it. Defaults to `true`. */
  previousResponse: flag().default(true),
  ...chatOption,
}

/** {@link feedbackSettings} with their defaults. */
export type FeedbackSettings = z.output<z.ZodObject<typeof feedbackSettings>>

/** Which asserts feedback shows. */
export type SandboxSlice = number | 'all'

/** Settings besides items, sandbox and expert. */
export const codeSettings = {
  ...ruleOption,
  ...agentsOption,
  ...feedbackSettings,
  /**
   * What becomes of tests that only the program's own process can run, where their outcome could be forged: `fail`, or `count` as the
   * program claims. Defaults to `fail` with `strict` rules and to `count` with `paper` rules.
   */
  forgeableTests: choice(['fail', 'count']).optional(),
  /** The total is multiplied by it and then shifted; the parts stay as they are. Defaults to `1`. */
  rewardScale: number({ above: 0 }).default(1),
  /** Added to the scaled total; `-4` makes full marks 0, as in the published multi-turn experiments. Defaults to `0`. */
  rewardShift: number().default(0),
}

/** Where the expert is and how it is asked. */
export const expertOptions = {
  /** Base URL of the endpoint, up to and including its version (`http://localhost:8000/v1`); `/chat/completions` is added. */
  url: text(),
  /** Name of the model, as the endpoint knows it. */
  model: text(),
  /** Name of the environment variable that holds the key. Defaults to none: no key is sent. */
  keyVariable: text().optional(),
  /** Sampling temperature of the edits. Defaults to `0.3`. */
  temperature: number({ from: 0 }).default(0.3),
  /** Longest answer, in tokens. Defaults to `2048`. */
  maxTokens: integer({ from: 1 }).default(2048),
  /** How often an edit is asked for before the turn goes on without. Defaults to `3`. */
  attempts: integer({ from: 1 }).default(3),
  /** Time limit of one attempt, milliseconds. Defaults to `60000`. */
  timeoutMs: milliseconds().default(60_000),
  /** Wait before the second attempt, milliseconds; it doubles with each further one. Defaults to `1000`. */
  backoffMs: number({ from: 0 }).default(1000),
  /** Requests under way at once. Defaults to `8`. */
  concurrency: integer({ from: 1 }).default(8),
}

/** Whom `expert_edits` asks. */
export interface ExpertOptions extends OptionsOf<typeof expertOptions> {
  /** Takes a warning, once per cause. */
  log?: (message: string) => void
}

/** The sandbox as configurations choose it. */
export const sandboxSettings = {
  /** Where programs run; `process` has limits only and is no security boundary. Defaults to `bubblewrap`. */
  sandbox: choice(['bubblewrap', 'process']).default('bubblewrap'),
  /** Programs that run at the same time. Defaults to the number of cores. */
  workers: integer({ from: 1 }).optional(),
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
  /** Whom `expert_edits` asks. */
  expert: section(expertOptions).optional(),
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
