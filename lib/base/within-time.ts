/** A limit of time on work that does not return by itself. */
import { createContext, Script } from 'node:vm'

/** Work was ended since it took longer than it may. */
export class TimeLimitError extends Error {
  override name = 'TimeLimitError'
}

let work: (() => unknown) | undefined
/** Calls `work` under a limit; made when it is first needed. */
let limited: ((timeout: number) => unknown) | undefined

/**
 * Does synchronous work on this thread and ends it when its time is over, also within a loop or a regular expression. It must leave
 * nothing half done that anybody uses later. It may be done twice, since a machine that slept would otherwise use up the time.
 *
 * Costs about a quarter of a millisecond, since node starts a thread that watches the time.
 *
 * @throws TimeLimitError after twice `limitMs`; what the work throws
 */
export function withinTime<T>(limitMs: number, task: () => T): T {
  // Within limited work, that limit counts.
  if (work !== undefined) return task()
  limited ??= makeLimited()
  work = task
  try {
    return limited(limitMs) as T
  } catch (first) {
    if (!isTimeout(first)) throw first
    try {
      return limited(limitMs) as T
    } catch (second) {
      if (!isTimeout(second)) throw second
      throw new TimeLimitError(`it did not end within ${(2 * limitMs) / 1000} s`)
    }
  } finally {
    work = undefined
  }
}

/** Work of one kind, each within a limit of time; once it took too long, it is not tried again. */
export class TimeLimited {
  readonly #limitMs: number
  #overran: TimeLimitError | undefined

  /** @param limitMs as of {@link withinTime} */
  constructor(limitMs: number) {
    this.#limitMs = limitMs
  }

  /** As {@link withinTime}. @throws TimeLimitError at once if earlier work took too long */
  run<T>(task: () => T): T {
    if (this.#overran !== undefined) throw this.#overran
    try {
      return withinTime(this.#limitMs, task)
    } catch (error) {
      if (error instanceof TimeLimitError) this.#overran = error
      throw error
    }
  }
}

function makeLimited(): (timeout: number) => unknown {
  const script = new Script('run()')
  const context = createContext({ run: () => work?.() })
  return (timeout) => script.runInContext(context, { timeout })
}

const isTimeout = (error: unknown) => (error as NodeJS.ErrnoException)?.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT'
