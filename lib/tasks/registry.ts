/**
 * The tasks that come with magrpo, by the name that configurations and the command line use. Each entry has a schema of its
 * options and makes the task; its code is loaded when it is asked for.
 */

import { z } from 'zod'
import { ConfigError } from '../base/errors.ts'
import { choice, section } from '../base/validate.ts'
import { feedbackModes } from './code/feedback.ts'
import type { CodeItem } from './code/item.ts'
import { miniCodeFeedbacks } from './mini-code/feedback.ts'
import type { Joint } from './task/completion.ts'
import { callStyles, type PythonRewardSettings } from './task/python-reward.ts'
import type { RewardResult, Task, TaskContext } from './task/types.ts'

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
  /** Schema of the options, defaults included. */
  options: z.ZodType<Options>
  /** Makes the task. */
  create(options: Options, context?: CreateContext): Promise<Task>
  /** The reward alone. */
  scorer(rules: 'paper' | 'strict'): Promise<Scorer>
}

/** What making a task may use. */
export interface CreateContext {
  /** Takes warnings, for people. */
  log?(message: string): void
}

const rules = choice(['paper', 'strict']).default('strict')
const count = z.int().min(1)

const text = z.string().min(1)

/** A data file, a data set of the hub, or a part of one; see `DataSource`. */
const source = z.union([
  text,
  section({
    file: text.optional(),
    hub: text.optional(),
    revision: text.optional(),
    config: text.optional(),
    split: text.optional(),
    offset: z.int().min(0).optional(),
    limit: count.optional(),
  }).refine(({ file, hub }) => (file === undefined) !== (hub === undefined), {
    message: 'expected either file or hub',
    path: ['file'],
  }),
])

/** A reward in Python in the place of the task's own; see `PythonRewardSettings`. */
const pythonReward = section({
  python: text,
  call: choice(callStyles).optional(),
  interpreter: text.optional(),
  workers: count.optional(),
  timeoutMs: z.number().positive().optional(),
})

const writingOptions = {
  train: source,
  heldOut: source.optional(),
  rules,
  chat: z.boolean().default(false),
  // 1: one model writes both texts.
  agents: z.union([z.literal(1), z.literal(2)]).default(2),
  missingDelimiter: choice(['strict', 'cut']).optional(),
}

/** The task of a team, or with `agents: 1` that of a single model. */
async function forAgents<Item>(
  task: Task<Item>,
  { agents, missingDelimiter }: { agents: 1 | 2; missingDelimiter?: 'strict' | 'cut' },
): Promise<Task> {
  if (agents === 1) return asTask((await import('./baselines/single-task.ts')).singleTask(task, { missingDelimiter }))
  if (missingDelimiter === undefined) return asTask(task)
  const message = 'expected none for a team of 2: it is what the answer of a single model (agents: 1) is taken apart by'
  throw new ConfigError([{ path: 'task.missingDelimiter', message }], 'The configuration')
}

/** Scoring reads no items; one that is never read satisfies the task. */
const noPost = [{ prompt: '' }]
const noAbstract = [{ abstract_text: '' }]

type TaskSchema<Shape extends z.ZodRawShape> = ReturnType<typeof section<Shape>>

/** An entry from a task's own options; every task takes `reward` besides. */
function entry<Shape extends z.ZodRawShape>(value: {
  about: string
  options: Shape
  create(options: z.infer<TaskSchema<Shape>>, context: CreateContext): Promise<Task>
  scorer: TaskEntry['scorer']
}): TaskEntry<Record<string, unknown>> {
  const options = section({ ...value.options, reward: pythonReward.optional() })
  return {
    ...value,
    options: options as z.ZodType<Record<string, unknown>>,
    async create({ reward, ...own }, context = {}) {
      const task = await value.create(own as z.infer<TaskSchema<Shape>>, context)
      if (reward === undefined) return task
      const { withPythonReward } = await import('./task/python-reward.ts')
      return withPythonReward(task, { ...(reward as PythonRewardSettings), log: context.log })
    },
  }
}

const tldrEntry = entry({
  about: 'two summaries of a Reddit post, a brief and a detailed one',
  options: writingOptions,
  create: async ({ agents, missingDelimiter, ...options }, { log }) =>
    forAgents(await (await import('./writing/tldr.ts')).tldr({ ...options, log }), { agents, missingDelimiter }),
  scorer: async (rules) => asTask(await (await import('./writing/tldr.ts')).tldr({ train: noPost, rules })),
})

const arxivEntry = entry({
  about: "the two halves of a paper's introduction from its abstract",
  options: { ...writingOptions, thresholds: choice(['paper-time', 'current']).default('paper-time') },
  create: async ({ agents, missingDelimiter, ...options }, { log }) =>
    forAgents(await (await import('./writing/arxiv.ts')).arxiv({ ...options, log }), { agents, missingDelimiter }),
  scorer: async (rules) => asTask(await (await import('./writing/arxiv.ts')).arxiv({ train: noAbstract, rules })),
})

const storyEntry = entry({
  about: 'two continuations of a story, a short and a long one, for small story models',
  options: { train: count.optional(), heldOut: z.int().min(0).optional(), rules },
  create: async (options) => asTask((await import('./writing/story.ts')).story(options)),
  scorer: async (rules) => asTask((await import('./writing/story.ts')).story({ rules })),
})

/** Whom `expert_edits` asks; see `ExpertOptions`. */
const expert = section({
  url: text,
  model: text,
  keyVariable: text.optional(),
  temperature: z.number().min(0).optional(),
  maxTokens: count.optional(),
  attempts: count.optional(),
  timeoutMs: z.number().positive().optional(),
  backoffMs: z.number().min(0).optional(),
  concurrency: count.optional(),
})

const codeOptions = {
  train: source,
  heldOut: source.optional(),
  rules,
  agents: z.union([z.literal(1), z.literal(2)]).default(2),
  feedback: choice(feedbackModes).default('level_feedback'),
  chat: z.boolean().default(false),
  sandboxSlice: z.union([z.int(), z.literal('all')]).default(1),
  originalPrompt: z.boolean().default(true),
  previousResponse: z.boolean().default(true),
  expert: expert.optional(),
  rewardScale: z.number().positive().default(1),
  rewardShift: z.number().default(0),
  sandbox: choice(['bubblewrap', 'process']).default('bubblewrap'),
  workers: count.optional(),
}
type CodeOptions = z.infer<ReturnType<typeof section<typeof codeOptions>>>

/** Settings of a code task as its maker takes them. */
function codeSettings<Options extends CodeOptions>(options: Options, { log }: CreateContext) {
  const { sandbox, workers, expert, ...rest } = options
  const sandboxOptions = { mode: sandbox, ...(workers && { workers }), ...(log && { log }) }
  return { ...rest, sandboxOptions, log, ...(expert && { expert: { ...expert, log } }) }
}

async function codeScorer(rules: 'paper' | 'strict'): Promise<Scorer> {
  const { createCodeReward } = await import('./code/reward.ts')
  const reward = createCodeReward({ rules })
  const texts = (joint: Joint) => joint.map(({ text }) => text)
  return {
    reward: (item, joint, { signal }) => reward.score(item as CodeItem, texts(joint), signal),
    dispose: () => reward.dispose(),
  }
}

const humanevalEntry = entry({
  about: 'a helper and the function that calls it, for problems of the HumanEval form',
  options: codeOptions,
  create: async (options, context) =>
    asTask(await (await import('./code/data-task.ts')).humaneval(codeSettings(options, context))),
  scorer: codeScorer,
})

const coophumanevalEntry = entry({
  about: 'the same for CoopHumanEval, whose problems gain from a helper',
  options: codeOptions,
  create: async (options, context) =>
    asTask(await (await import('./code/data-task.ts')).coophumaneval(codeSettings(options, context))),
  scorer: codeScorer,
})

const mbppEntry = entry({
  about: 'the same for MBPP, converted to the form of HumanEval',
  options: { ...codeOptions, signatures: choice(['repaired', 'published']).optional() },
  create: async (options, context) =>
    asTask(await (await import('./code/data-task.ts')).mbpp(codeSettings(options, context))),
  scorer: codeScorer,
})

const miniCodeEntry = entry({
  about: 'a tiny helper and the function that calls it, written by two tiny models',
  options: {
    train: count.optional(),
    heldOut: z.int().min(0).optional(),
    evaluateOn: choice(['validation', 'held-out']).default('validation'),
    feedback: choice(miniCodeFeedbacks).default('level_feedback'),
    sandbox: choice(['bubblewrap', 'process']).default('bubblewrap'),
    workers: count.optional(),
  },
  create: async ({ sandbox, workers, ...options }, { log }) => {
    const { miniCode } = await import('./mini-code/task.ts')
    const sandboxOptions = { mode: sandbox, ...(workers && { workers }), ...(log && { log }) }
    return asTask(miniCode({ ...options, sandboxOptions }))
  },
  scorer: async () => asTask((await import('./mini-code/task.ts')).miniCode()),
})

/** Every built-in task. */
export const taskRegistry = {
  tldr: tldrEntry,
  arxiv: arxivEntry,
  story: storyEntry,
  humaneval: humanevalEntry,
  coophumaneval: coophumanevalEntry,
  mbpp: mbppEntry,
  'mini-code': miniCodeEntry,
} as const

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
