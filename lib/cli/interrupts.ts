import { constants } from 'node:os'
import { isClosedPipe, note } from './output.ts'

/** Why a command was aborted; the exit code that tells of the signal goes with it. */
export class InterruptedError extends Error {
  override name = 'AbortError'
  readonly exitCode: number

  constructor(signal: NodeJS.Signals) {
    super(`interrupted by ${signal}`)
    this.exitCode = 128 + constants.signals[signal]
  }
}

/**
 * Watches for Ctrl-C and SIGTERM while a command works. The first one calls `onFirst`, which ends the work in an orderly way;
 * the second leaves at once. With `readers`, so does the end of who reads standard output or error, which is no signal in Node.
 */
export class Interrupts {
  /** The first interruption, if there was one. */
  received: InterruptedError | undefined
  readonly #onFirst: (reason: InterruptedError) => void
  readonly #streams: readonly NodeJS.WriteStream[]

  constructor(onFirst: (reason: InterruptedError) => void, { readers = false } = {}) {
    this.#onFirst = onFirst
    this.#streams = readers ? [process.stdout, process.stderr] : []
    for (const stream of this.#streams) stream.on('error', this.#onStreamError)
    process.on('SIGINT', this.#handle).on('SIGTERM', this.#handle)
  }

  /** Stops watching. */
  dispose(): void {
    process.off('SIGINT', this.#handle).off('SIGTERM', this.#handle)
    for (const stream of this.#streams) stream.off('error', this.#onStreamError)
  }

  readonly #onStreamError = (error: NodeJS.ErrnoException): void => {
    if (!isClosedPipe(error)) throw error
    if (!this.received) this.#handle('SIGPIPE')
  }

  readonly #handle = (signal: NodeJS.Signals): void => {
    const reason = new InterruptedError(signal)
    if (this.received) {
      note('magrpo: leaving at once')
      process.exit(reason.exitCode)
    }
    this.received = reason
    this.#onFirst(reason)
  }
}

/** Runs a command's work with a signal that Ctrl-C aborts, and ends its standard input then. */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController()
  const interrupts = new Interrupts((reason) => {
    controller.abort(reason)
    // What waits for input would not see the signal; where nothing does, nobody listens.
    process.stdin.once('error', () => {})
    process.stdin.destroy(reason)
  })
  try {
    return await work(controller.signal)
  } finally {
    interrupts.dispose()
  }
}
