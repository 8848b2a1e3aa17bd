import { codeEntry } from '../code/entry.ts'

/** The entry of `humaneval`. */
export const entry = codeEntry({
  about: 'a helper and the function that calls it, for problems of the HumanEval form',
  options: {},
  load: async () => (await import('./task.ts')).humaneval,
})
