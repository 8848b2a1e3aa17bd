import { writingEntry } from '../writing/entry.ts'
import { arxivSettings } from './options.ts'

/** The entry of `arxiv`. */
export const entry = writingEntry({
  about: "the two halves of a paper's introduction from its abstract",
  options: arxivSettings,
  load: async () => (await import('./task.ts')).arxiv,
  noItem: { abstract_text: '' },
})
