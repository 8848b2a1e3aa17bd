import { codeEntry } from '../code/entry.ts'

/** The entry of `coophumaneval`. */
export const entry = codeEntry({
  about: 'the same for CoopHumanEval, whose problems gain from a helper',
  options: {},
  load: async () => (await import('./task.ts')).coophumaneval,
})
