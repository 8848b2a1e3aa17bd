/** The entries of the code tasks with published problems. */
import type { z } from 'zod'
import type { Joint } from '../task/completion.ts'
import { type Scorer, type TaskEntry, taskEntry } from '../task/entry.ts'
import type { Rules } from '../task/options.ts'
import type { Task } from '../task/types.ts'
import type { CodeItem } from './item.ts'
import type { CodeDataOptions } from './load-task.ts'
import { codeOptions, sandboxOptionsOf } from './options.ts'

/** What a code task gives to its entry. */
interface CodeEntryParts<Shape extends z.ZodRawShape> {
  about: string
  /** Options of this task alone. */
  options: Shape
  /** Loads the function that makes the task. */
  load(): Promise<(options: CodeDataOptions & z.output<z.ZodObject<Shape>>) => Promise<Task<CodeItem>>>
}

/** Makes the entry of a code task. */
export function codeEntry<Shape extends z.ZodRawShape>({ about, options, load }: CodeEntryParts<Shape>): TaskEntry {
  return taskEntry({
    about,
    options: { ...codeOptions, ...options },
    create: async (given, { log }) => {
      const { sandbox, workers, expert, ...own } = given as unknown as z.output<z.ZodObject<typeof codeOptions>>
      const settings = {
        ...own,
        log,
        sandboxOptions: sandboxOptionsOf({ sandbox, workers }, log),
        ...(expert && { expert: { ...expert, log } }),
      }
      return (await load())(settings as unknown as CodeDataOptions & z.output<z.ZodObject<Shape>>)
    },
    scorer: codeScorer,
  })
}

async function codeScorer(rules: Rules): Promise<Scorer> {
  const { createCodeReward } = await import('./reward.ts')
  const reward = createCodeReward({ rules })
  const texts = (joint: Joint) => joint.map(({ text }) => text)
  return {
    reward: (item, joint, { signal }) => reward.score(item as CodeItem, texts(joint), signal),
    dispose: () => reward.dispose(),
  }
}
