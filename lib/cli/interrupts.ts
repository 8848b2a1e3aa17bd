import { exitCodes, isClosedPipe, note } from './output.ts'

/** The first interruption of a command: which signal, and the exit code that tells of it. */
interface Interruption {
  signal: 'SIGINT' | 'SIGTERM' | 'SIGPIPE'
  exitCode: number
}

/**
 * Watches for Ctrl-C and SIGTERM while a command works. The first one calls `onFirst`, which ends the work in an orderly way;
 * the second leaves at once. With `readers`, so does the end of who reads standard output or error, which is no signal in Node.
 */
export class Interrupts {
  /** The first interruption, if there was one. */
  received: Interruption | undefined
  readonly #onFirst: (interruption: Interruption) => void
  readonly #streams: readonly NodeJS.WriteStream[]
  readonly #handlers: readonly (readonly [NodeJS.Signals, () => void])[]

  constructor(onFirst: (interruption: Interruption) => void, { readers = false } = {}) {
    this.#onFirst = onFirst
    this.#streams = readers ? [process.stdout, process.stderr] : []
    for (const stream of this.#streams) stream.on('error', this.#onStreamError)
    this.#handlers = [
      ['SIGINT', () => this.#handle({ signal: 'SIGINT', exitCode: exitCodes.interrupted })],
      ['SIGTERM', () => this.#handle({ signal: 'SIGTERM', exitCode: exitCodes.terminated })],
    ]
    for (const [signal, handler] of this.#handlers) process.on(signal, handler)
  }

  /** Stops watching. */
  dispose(): void {
    for (const [signal, handler] of this.#handlers) process.off(signal, handler)
    for (const stream of this.#streams) stream.off('error', this.#onStreamError)
  }

  readonly #onStreamError = (error: NodeJS.ErrnoException): void => {
    if (!isClosedPipe(error)) throw error
    if (!this.received) this.#handle({ signal: 'SIGPIPE', exitCode: exitCodes.unread })
  }

  #handle(interruption: Interruption): void {
    if (this.received) {
      note('magrpo: leaving at once')
      process.exit(interruption.exitCode)
    }
    this.received = interruption
    this.#onFirst(interruption)
  }
}

/** Why a command was aborted; the exit code goes with it. */
export class InterruptedError extends Error {
  override name = 'AbortError'
  readonly exitCode: number

  constructor({ signal, exitCode }: Interruption) {
    super(`interrupted by ${signal}`)
    this.exitCode = exitCode
  }
}

/** Runs a command's work with a signal that Ctrl-C aborts, and ends its standard input then. */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController()
  const interrupts = new Interrupts((interruption) => {
    const reason = new InterruptedError(interruption)
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
