/** The small addon that answers signals while JavaScript's thread is busy; it stands beside the large one, and loads without libtorch. */
import { createRequire } from 'node:module'
import path from 'node:path'
import { addonPath } from './load-addon.ts'

/** See `native/binding/interrupts.cc`. It changes how the process answers signals, so that only the command line may use it. */
export interface InterruptsAddon {
  /**
   * Listens to SIGINT and SIGTERM besides JavaScript's own handlers, which have to be set before. One second after the first signal
   * writes `waiting` to standard error unless `answer` was called; one second after the second one ends the process, with exit
   * code 128 and the number of the signal.
   *
   * @returns whether it can
   */
  install(waiting: string): boolean
  /** JavaScript heard of a signal. */
  answer(): void
  /** Listens no longer. Call it before JavaScript's own handlers are taken off. */
  uninstall(): void
}

/** The addon, or undefined where it is not built: signals then wait for JavaScript's thread. */
export function loadInterruptsAddon(): InterruptsAddon | undefined {
  try {
    return createRequire(import.meta.url)(path.join(path.dirname(addonPath()), 'interrupts.node')) as InterruptsAddon
  } catch {
    return undefined
  }
}
