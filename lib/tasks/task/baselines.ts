/**
 * What a task tells the baselines of the paper's comparison: models that work together, or alone, without having been
 * trained for it. Parallel generation needs nothing of this: its prompts are exactly the team's.
 */

import type { ChatMessage } from '../../text/messages.ts'
import type { Completion } from './completion.ts'

/** The baselines, in the order of the paper's tables. */
export const baselineNames = ['single', 'parallel', 'pipeline', 'discussion'] as const

/**
 * One of {@link baselineNames}.
 *
 * - `single`: one model writes everything in one call.
 * - `parallel`: each agent answers the team's own prompt; nobody sees anybody (naive concatenation).
 * - `pipeline`: one agent after the other; each sees what those before it wrote.
 * - `discussion`: one round in parallel, then each agent sees what the others wrote and answers again; only the second
 *   answers are scored.
 */
export type BaselineName = (typeof baselineNames)[number]

/** A prompt as {@link Task.observe} gives it. */
export type BaselinePrompt = string | ChatMessage[]

/** How one model does the work of the team. */
export interface SingleBaseline<Item = unknown> {
  /** Whose weights of a trained team write, by the agent's name. Defaults to the last agent. */
  agent?: string
  /** What the single model is asked. */
  prompt(item: Item): BaselinePrompt
  /** Token limit of the one call over that of one agent of the team. Defaults to `1`. */
  budget?: number
  /** The text each agent of the team would have written, in order; null if the answer cannot be taken apart. */
  split(text: string): string[] | null
  /**
   * Takes an answer apart that {@link split} cannot, in the proportions the task asks for: such scores are good by construction
   * and are reported beside the strict ones, never in their place.
   *
   * @param random from [0, 1): where in the range of good proportions to cut
   */
  cut?(text: string, random: number): string[]
}

/** Prompts of the baselines of one task. A baseline that is left out cannot be played on the task. */
export interface TaskBaselines<Item = unknown> {
  single?: SingleBaseline<Item>
  /** An agent's prompt in turn. @param earlier completions of the agents before this one, in order; empty for the first */
  pipeline?(item: Item, agent: number, earlier: readonly Completion[]): BaselinePrompt
  /** The second round's prompt. @param others first-round completions of all other agents, in order, its own left out */
  discussion?(item: Item, agent: number, others: readonly Completion[]): BaselinePrompt
}
