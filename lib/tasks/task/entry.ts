/** What the registry knows of a built-in task. The code of the task is loaded when it is asked for. */
import type { z } from 'zod'
import { section } from '../../base/validate.ts'
import type { Joint } from './completion.ts'
import type { Rules } from './options.ts'
import { type PythonRewardSettings, pythonRewardOptions } from './python-reward-options.ts'
import type { RewardContext, RewardResult, Task } from './types.ts'

/** A task's joint reward without its items, for scoring completions that come from elsewhere. */
export interface Scorer {
  reward(item: unknown, joint: Joint, context: RewardContext): RewardResult | Promise<RewardResult>
  /** Frees what scoring holds (a sandbox). */
  dispose?(): Promise<void>
}

/** What making a task may use. */
export interface CreateContext {
  /** Takes warnings, for people. */
  log?(message: string): void
}

/** One built-in task. Baselines and columns of comparisons are parts of the task that it creates. */
export interface TaskEntry {
  /** What the task is about, for help texts and the reference. */
  about: string
  /** Schema of the options, with their defaults and what they mean. */
  options: z.ZodObject
  /** Makes the task. */
  create(options: Record<string, unknown>, context?: CreateContext): Promise<Task>
  /** The reward alone. */
  scorer(rules: Rules): Promise<Scorer>
}

/** What a task gives to {@link taskEntry}; every task takes the option `reward` besides its own. */
interface TaskEntryParts<Shape extends z.ZodRawShape> {
  about: string
  options: Shape
  create(options: z.output<z.ZodObject<Shape>>, context: CreateContext): Promise<Task>
  scorer: TaskEntry['scorer']
}

const rewardOption = {
  /** A reward in Python in the place of the task's own: see docs/python-rewards.md. */
  reward: section(pythonRewardOptions).optional(),
}

/** Makes the entry of a task. */
export function taskEntry<Shape extends z.ZodRawShape>(parts: TaskEntryParts<Shape>): TaskEntry {
  return {
    ...parts,
    options: section({ ...parts.options, ...rewardOption }),
    async create({ reward, ...own }, context = {}) {
      const task = await parts.create(own as z.output<z.ZodObject<Shape>>, context)
      if (reward === undefined) return task
      const { withPythonReward } = await import('./python-reward.ts')
      return withPythonReward(task, { ...(reward as PythonRewardSettings), log: context.log })
    },
  }
}
