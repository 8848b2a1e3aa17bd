/** The entries of the writing tasks with data. */
import type { z } from 'zod'
import { ConfigError } from '../../base/errors.ts'
import { type TaskEntry, taskEntry } from '../task/entry.ts'
import type { Task } from '../task/types.ts'
import { type WritingOptions, writingOptions } from './options.ts'

/** What a writing task gives to its entry. */
interface WritingEntryParts<Item, Shape extends z.ZodRawShape> {
  about: string
  /** Options of this task alone. */
  options: Shape
  /** Loads the function that makes the task. */
  load(): Promise<(options: WritingOptions<Item> & z.output<z.ZodObject<Shape>>) => Promise<Task<Item>>>
  /** An item without text: scoring reads none. */
  noItem: Item
}

/** Makes the entry of a writing task. */
export function writingEntry<Item, Shape extends z.ZodRawShape>({
  about,
  options,
  load,
  noItem,
}: WritingEntryParts<Item, Shape>): TaskEntry {
  type Options = WritingOptions<Item> & z.output<z.ZodObject<Shape>>
  return taskEntry({
    about,
    options: { ...writingOptions, ...options },
    create: async (given, { log }) => {
      const { agents, missingDelimiter, ...own } = given as unknown as z.output<z.ZodObject<typeof writingOptions>>
      const task = await (await load())({ ...own, log } as unknown as Options)
      if (agents === 1) return (await import('../baselines/single-task.ts')).singleTask(task, { missingDelimiter })
      if (missingDelimiter === undefined) return task
      const message =
        'expected none for a team of 2: it is what the answer of a single model (agents: 1) is taken apart by'
      throw new ConfigError([{ path: 'task.missingDelimiter', message }], 'The configuration')
    },
    scorer: async (rules) => (await load())({ train: [noItem], rules } as unknown as Options),
  })
}
