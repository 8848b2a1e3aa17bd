import { taskEntry } from '../task/entry.ts'
import { storyOptions } from './options.ts'

/** The entry of `story`. */
export const entry = taskEntry({
  about: 'two continuations of a story, a short and a long one, for small story models',
  options: storyOptions,
  create: async (options) => (await import('./task.ts')).story(options),
  scorer: async (rules) => (await import('./task.ts')).story({ rules }),
})
