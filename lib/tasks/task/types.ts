/**
 * What a task is: the plain object a user writes, and what its functions receive. Nothing here knows of tensors.
 */

import type { ChatMessage } from '../../text/messages.ts'
import type { TaskBaselines } from './baselines.ts'
import type { ColumnMeter } from './columns.ts'
import type { Completion, Joint } from './completion.ts'

/** What a reward says of a joint completion beyond one number. */
export interface RewardDetails {
  /** Higher is better. Null: the reward abstains, see {@link RewardResult}. */
  total: number | null
  /** What the total is made of; each part is logged. */
  parts: Record<string, number>
  /** Why there is no more, which is written to the samples of a run. */
  reason?: string
  /** How often the call was made again before it succeeded, where that is counted: the sum is logged as `reward/retries`. */
  retries?: number
}

/**
 * What a reward returns: a number, a total with the parts it is made of, or null where it abstains. A joint completion without a
 * verdict takes no part in baselines and gradients and is counted in `reward/abstained_share`.
 */
export type RewardResult = number | null | RewardDetails

/** One earlier turn, as agent i saw it: its own prompt and its own completion. Empty in the first turn. */
export interface TurnHistory {
  prompts: (string | ChatMessage[])[]
  completions: Completion[]
}

/** What every task function gets besides its arguments. */
export interface TaskContext {
  signal: AbortSignal
}

/** What a reward gets besides its arguments. */
export interface RewardContext extends TaskContext {
  /** The prompt that each agent answered; unset for completions that come from elsewhere. */
  prompts?: (string | ChatMessage[])[]
}

/** What a reward of many joint completions gets besides its arguments. */
export interface BatchRewardContext extends TaskContext {
  /** For each joint completion the prompt that each agent answered; unset for completions that come from elsewhere. */
  prompts?: (string | ChatMessage[])[][]
}

/**
 * A reward that sees many joint completions at once: `group`, those that the agents gave to one prompt each (one node of a rollout),
 * or `step`, those of one turn of a whole step or evaluation batch. Joint completions scored elsewhere come one at a time.
 */
export interface BatchReward<Item = unknown, Name extends string = string> {
  per: 'group' | 'step'
  /** The rewards of all joint completions, in their order; `items[k]` is the item of `joints[k]`. */
  rewards(
    items: readonly Item[],
    joints: readonly Joint<Name>[],
    context: BatchRewardContext,
  ): RewardResult[] | Promise<RewardResult[]>
}

/** A joint completion of an evaluation: with several turns, the last of its branch. */
export interface EvaluatedJoint<Item, Name extends string = string> {
  item: Item
  joint: Joint<Name>
  /** Null: the reward abstained. */
  reward: number | null
}

/** What a transition returns to go on: one next prompt per agent. */
export interface TurnFeedback {
  prompts: (string | ChatMessage[])[]
  /** Further numbers to log for the joint completion that was answered, as those of `Task.metrics`. */
  metrics?: Record<string, number>
}

/**
 * Everything of a task but its reward; see {@link Task}.
 *
 * @typeParam Name names of the agents, where they are known
 */
export interface TaskParts<Item = unknown, Name extends string = string> {
  /** Name used in run folders and metrics. */
  name: string
  /** One name per agent, in order; `joint[i]` belongs to `agents[i]`, and in `defineTask` so does `joint.NAME`, see {@link Joint}. */
  agents: readonly Name[]
  /** The problems trained on. */
  items: readonly Item[]
  /** Held-out problems for evaluation; never trained on. */
  heldOut?: readonly Item[]
  /** The prompt of agent number `agent`. A string goes to the tokenizer as it is; messages go through the chat template. */
  observe(item: Item, agent: number, history: TurnHistory[]): string | ChatMessage[]
  /** Multi-turn tasks: the next turn's prompts, or `stop`. `history` ends with the turn that `joint` is of. */
  transition?(
    item: Item,
    joint: Joint<Name>,
    history: TurnHistory[],
    context: TaskContext,
  ): 'stop' | TurnFeedback | Promise<'stop' | TurnFeedback>
  /** Further numbers to log for a joint completion. */
  metrics?(item: Item, joint: Joint<Name>): Record<string, number>
  /**
   * Looks at all that an evaluation has sampled, for what costs too much to be asked of every sample in training. Its
   * numbers are reported as those of `metrics` are.
   */
  examine?(evaluated: readonly EvaluatedJoint<Item, Name>[], context: TaskContext): Promise<Record<string, number>>
  /** Upper bound of `reward`, where there is one (for reports). */
  maxReward?: number
  /** Lower bound of `reward`, where there is one (to see settings that cannot work). */
  minReward?: number
  /**
   * What the task asks for unless the configuration says otherwise: sampling (for example its own token limit), the mean
   * reward above which a turn needs no further one, and the time limit of a reward call. `rewardTimeoutMs: null` is for rewards
   * that end by themselves, such as those of programs with limits of their own: waiting for a turn must not count against them.
   */
  defaults?: {
    maxNewTokens?: number
    temperature?: number
    topP?: number
    stop?: string[]
    terminationThreshold?: number
    rewardTimeoutMs?: number | null
  }
  /** Prompts of the baselines it can be compared with. */
  baselines?: TaskBaselines<Item>
  /**
   * Score columns of a comparison's table for the task that was played: this one, or one of a single model made from it. Null or
   * unset: the parts of the reward.
   */
  columns?(played: { agents: readonly string[]; maxReward?: number }): ColumnMeter | null
  /** Frees what the task holds (a sandbox, say); called when the run ends. */
  dispose?(): Promise<void>
}

/**
 * A task: items, what each agent sees of an item, and one joint reward.
 *
 * @typeParam Item one problem: a plain, JSON-serialisable object
 */
export interface Task<Item = unknown> extends TaskParts<Item> {
  /** The joint reward; may be asynchronous. Higher is better. Must be finite, or null to abstain. */
  reward(item: Item, joint: Joint, context: RewardContext): RewardResult | Promise<RewardResult>
  /** The same for many joint completions in one call; rollouts call it in the place of `reward`. */
  batch?: BatchReward<Item>
}
