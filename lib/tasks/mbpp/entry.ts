import { codeEntry } from '../code/entry.ts'
import { mbppSettings } from './options.ts'

/** The entry of `mbpp`. */
export const entry = codeEntry({
  about: 'the same for MBPP, converted to the form of HumanEval',
  options: mbppSettings,
  load: async () => (await import('./task.ts')).mbpp,
})
