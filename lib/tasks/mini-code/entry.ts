import { sandboxOptionsOf, sandboxSettings } from '../code/options.ts'
import { taskEntry } from '../task/entry.ts'
import { miniCodeSettings } from './options.ts'

/** The entry of `mini-code`. */
export const entry = taskEntry({
  about: 'a tiny helper and the function that calls it, written by two tiny models',
  options: { ...miniCodeSettings, ...sandboxSettings },
  create: async ({ sandbox, workers, ...options }, { log }) => {
    const { miniCode } = await import('./task.ts')
    return miniCode({ ...options, sandboxOptions: sandboxOptionsOf({ sandbox, workers }, log) })
  },
  scorer: async () => (await import('./task.ts')).miniCode(),
})
