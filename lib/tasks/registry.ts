/**
 * The tasks that come with magrpo, by the name that configurations and the command line use. Each entry has a schema of its
 * options and makes the task; its code is loaded when it is asked for.
 */
import { z } from 'zod'
import { choice, section } from '../config/validate.ts'
import type { Joint, RewardResult, Task, TaskContext } from './types.ts'

/** A task's joint reward without its items, for scoring completions that come from elsewhere. */
export interface Scorer {
  reward(item: unknown, joint: Joint, context: TaskContext): RewardResult | Promise<RewardResult>
  /** Frees what scoring holds (a sandbox). */
  dispose?(): Promise<void>
}

/** One built-in task. */
export interface TaskEntry<Options = unknown> {
  /** One sentence for help texts. */
  about: string
  /** Names of the agents, in order; null where the options decide. */
  options: z.ZodType<Options>
  /** Makes the task. `seed` is the run's, for tasks that draw items. */
  create(options: Options): Promise<Task>
  /** The reward alone. */
  scorer(rules: 'paper' | 'strict'): Promise<Scorer>
}

const rules = choice(['paper', 'strict']).default('strict')
const count = z.int().min(1)

/** A data file, or a part of one. */
const source = z.union([
  z.string().min(1),
  section({ file: z.string().min(1), offset: z.int().min(0).optional(), limit: count.optional() }),
])

const writingOptions = { train: source, heldOut: source.optional(), rules, chat: z.boolean().default(false) }

/** Scoring reads no items; one that is never read satisfies the task. */
const noPost = [{ prompt: '' }]
const noAbstract = [{ abstract_text: '' }]

function entry<Options>(value: TaskEntry<Options>): TaskEntry<Options> {
  return value
}

const tldrEntry = entry({
  about: 'two summaries of a Reddit post, a brief and a detailed one',
  options: section(writingOptions),
  create: async (options) => asTask(await (await import('./writing/tldr.ts')).tldr(options)),
  scorer: async (rules) => asTask(await (await import('./writing/tldr.ts')).tldr({ train: noPost, rules })),
})

const arxivEntry = entry({
  about: "the two halves of a paper's introduction from its abstract",
  options: section({ ...writingOptions, thresholds: choice(['paper-time', 'current']).default('paper-time') }),
  create: async (options) => asTask(await (await import('./writing/arxiv.ts')).arxiv(options)),
  scorer: async (rules) => asTask(await (await import('./writing/arxiv.ts')).arxiv({ train: noAbstract, rules })),
})

const storyEntry = entry({
  about: 'two continuations of a story, a short and a long one, for small story models',
  options: section({ train: count.optional(), heldOut: z.int().min(0).optional(), rules }),
  create: async (options) => asTask((await import('./writing/story.ts')).story(options)),
  scorer: async (rules) => asTask((await import('./writing/story.ts')).story({ rules })),
})

/** Every built-in task. */
export const taskRegistry = { tldr: tldrEntry, arxiv: arxivEntry, story: storyEntry } as const

/** Name of a built-in task. */
export type TaskName = keyof typeof taskRegistry

/** Names of the built-in tasks. */
export const taskNames = Object.keys(taskRegistry) as [TaskName, ...TaskName[]]

/** Whether a word names a built-in task. */
export function isTaskName(name: unknown): name is TaskName {
  return typeof name === 'string' && Object.hasOwn(taskRegistry, name)
}

/** A task whose item type is known only to itself. */
function asTask<Item>(task: Task<Item>): Task {
  return task as unknown as Task
}
