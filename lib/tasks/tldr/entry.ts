import { writingEntry } from '../writing/entry.ts'

/** The entry of `tldr`. */
export const entry = writingEntry({
  about: 'two summaries of a Reddit post, a brief and a detailed one',
  options: {},
  load: async () => (await import('./task.ts')).tldr,
  noItem: { prompt: '' },
})
