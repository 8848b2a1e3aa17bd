import { constants } from 'node:os'
import { type InterruptsAddon, loadInterruptsAddon } from '../native/interrupts-addon.ts'
import { showCursor } from '../ui/live-block.ts'
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

/** Settings of {@link Interrupts}. */
interface InterruptsOptions {
  /** Whether the end of who reads standard output or error, which is no signal in Node, counts as an interruption. */
  readers?: boolean
  /** What keeps a command that does not end in a second after the first interruption, as the end of a sentence. */
  waitsFor?(): string
}

/** So long a command may take to end before it says what it waits for. */
const patienceMs = 1000
const onceMore = '(once more to leave at once)'

/**
 * Watches for Ctrl-C and SIGTERM while a command works. The first one calls `onFirst`, which ends the work in an orderly way; if
 * that takes longer than a second, standard error says what is waited for. The second one leaves at once. Both hold while
 * JavaScript is busy, by a thread of the addon's; before the addon is built, they wait for JavaScript.
 */
export class Interrupts {
  /** The first interruption, if there was one. */
  received: InterruptedError | undefined
  readonly #onFirst: (reason: InterruptedError) => void
  readonly #waitsFor: () => string
  readonly #streams: readonly NodeJS.WriteStream[]
  readonly #addon: InterruptsAddon | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(
    onFirst: (reason: InterruptedError) => void,
    { readers = false, waitsFor = () => 'what is under way' }: InterruptsOptions = {},
  ) {
    this.#onFirst = onFirst
    this.#waitsFor = waitsFor
    this.#streams = readers ? [process.stdout, process.stderr] : []
    for (const stream of this.#streams) stream.on('error', this.#onStreamError)
    process.on('SIGINT', this.#handle).on('SIGTERM', this.#handle)
    this.#addon = loadInterruptsAddon()
    this.#addon?.install(
      `magrpo: interrupted; waiting for JavaScript that is busy: a reward, a task, a tracker or a tokenizer ${onceMore}`,
    )
  }

  /** Stops watching. */
  dispose(): void {
    clearTimeout(this.#timer)
    this.#addon?.uninstall()
    process.off('SIGINT', this.#handle).off('SIGTERM', this.#handle)
    for (const stream of this.#streams) stream.off('error', this.#onStreamError)
  }

  readonly #onStreamError = (error: NodeJS.ErrnoException): void => {
    if (isClosedPipe(error) && !this.received) this.#handle('SIGPIPE')
  }

  readonly #handle = (signal: NodeJS.Signals): void => {
    if (signal !== 'SIGPIPE') this.#addon?.answer()
    const reason = new InterruptedError(signal)
    if (this.received) {
      // No view closes any more, and a live one hides the cursor.
      note(`${process.stderr.isTTY ? showCursor : ''}magrpo: leaving at once`)
      process.exit(reason.exitCode)
    }
    this.received = reason
    this.#timer = setTimeout(() => note(`magrpo: waiting for ${this.#waitsFor()} ${onceMore}`), patienceMs).unref()
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
