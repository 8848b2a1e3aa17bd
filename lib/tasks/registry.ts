/**
 * The tasks that come with magrpo, by the name that configurations and the command line use. Each entry has a schema of its
 * options and makes the task; its code is loaded when it is asked for.
 */
import { z } from 'zod'
import { choice, section } from '../config/validate.ts'
import type { CodeItem } from './code/item.ts'
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

const codeOptions = section({
  train: source,
  heldOut: source.optional(),
  rules,
  agents: z.union([z.literal(1), z.literal(2)]).default(2),
  sandbox: choice(['bubblewrap', 'process']).default('bubblewrap'),
  workers: count.optional(),
})

const codeFields = { fields: ['prompt', 'test', 'entry_point'] }

function codeEntry(name: string, about: string): TaskEntry<z.infer<typeof codeOptions>> {
  return entry({
    about,
    options: codeOptions,
    create: async ({ train, heldOut, rules, agents, sandbox, workers }, { log } = {}) => {
      const { loadItems } = await import('./data.ts')
      const { codeTask } = await import('./code/task.ts')
      const load = (from: z.infer<typeof source>) => {
        const { file, ...part } = typeof from === 'string' ? { file: from } : from
        return loadItems<CodeItem>(file, { ...codeFields, ...part })
      }
      const items = await load(train)
      const sandboxOptions = { mode: sandbox, ...(workers && { workers }), ...(log && { log }) }
      const settings = { name, items, rules, agents, sandboxOptions }
      return asTask(codeTask(heldOut === undefined ? settings : { ...settings, heldOut: await load(heldOut) }))
    },
    scorer: async (rules) => {
      const { createCodeReward } = await import('./code/reward.ts')
      const reward = createCodeReward({ rules })
      const texts = (joint: Joint) => joint.map(({ text }) => text)
      return {
        reward: (item, joint, { signal }) => reward.score(item as CodeItem, texts(joint), signal),
        dispose: () => reward.dispose(),
      }
    },
  })
}

const miniCodeEntry = entry({
  about: 'a tiny helper and the function that calls it, written by two tiny models',
  options: section({
    train: count.optional(),
    heldOut: z.int().min(0).optional(),
    evaluateOn: choice(['validation', 'held-out']).default('validation'),
    sandbox: choice(['bubblewrap', 'process']).default('bubblewrap'),
    workers: count.optional(),
  }),
  create: async ({ sandbox, workers, ...options }, { log } = {}) => {
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
  humaneval: codeEntry('humaneval', 'a helper and the function that calls it, for problems of the HumanEval form'),
  coophumaneval: codeEntry('coophumaneval', 'the same for CoopHumanEval, whose problems gain from a helper'),
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
