/**
 * A child process that trials run in. It reads one JSON request a line and answers each with one line that begins with
 * `@@`; whatever else it writes is kept for error messages.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import readline from 'node:readline'

/** What a child answers to `run`. */
export interface RunAnswer {
  /** Wall time of the repetition. */
  seconds: number
  /** Processor time of the child in it. */
  cpuSeconds: number
  /** How many such repetitions make one of what is compared: a trainer of one policy takes one per agent. Defaults to `1`. */
  times?: number
}

/** What trials ask: a child, or several that work as one. */
export type Asked = Pick<Worker, 'ask' | 'end'>

/** Children that are the ranks of one trial: they are asked together. */
export class RankGroup implements Asked {
  readonly #ranks: readonly Worker[]

  constructor(ranks: readonly Worker[]) {
    this.#ranks = ranks
  }

  /** The answer of rank 0; of `run`, the time of the last and the processor time of all. */
  async ask<T = unknown>(call: string, args: Record<string, unknown> = {}): Promise<T> {
    const answers = await Promise.all(this.#ranks.map((rank) => rank.ask<T>(call, args)))
    if (call !== 'run') return answers[0]!
    const runs = answers as RunAnswer[]
    const seconds = Math.max(...runs.map((run) => run.seconds))
    return { ...runs[0]!, seconds, cpuSeconds: runs.reduce((sum, run) => sum + run.cpuSeconds, 0) } as T
  }

  async end(): Promise<void> {
    await Promise.allSettled(this.#ranks.map((rank) => rank.end()))
  }
}

/** A running child; end it with {@link Worker.end}. */
export class Worker {
  readonly name: string
  readonly #child: ChildProcess
  readonly #answers: AsyncIterator<string>
  #tail: string[] = []

  /** @param name for messages */
  constructor(name: string, command: string, args: readonly string[], env: NodeJS.ProcessEnv) {
    this.name = name
    this.#child = spawn(command, args, { env, stdio: ['pipe', 'pipe', 'pipe'] })
    this.#child.on('error', (error) => this.#keep(error.message))
    this.#child.stdin!.on('error', () => {})
    readline.createInterface({ input: this.#child.stderr! }).on('line', (line) => this.#keep(line))
    this.#answers = readline.createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]()
  }

  /**
   * Sends one request and waits for its answer.
   *
   * @throws Error with the child's own words where it fails or ends
   */
  async ask<T = unknown>(call: string, args: Record<string, unknown> = {}): Promise<T> {
    this.#child.stdin!.write(`${JSON.stringify({ call, ...args })}\n`)
    for (;;) {
      const { value, done } = await this.#answers.next()
      if (done)
        throw new Error(`${this.name} ended during ${call}: ${this.#tail.slice(-6).join(' | ') || 'no message'}`)
      if (!value.startsWith('@@')) {
        this.#keep(value)
        continue
      }
      const answer = JSON.parse(value.slice(2)) as { error?: string; value?: T }
      if (answer.error !== undefined) throw new Error(`${this.name}: ${answer.error}`)
      return answer.value as T
    }
  }

  /** Closes the child's input and waits until it has ended. */
  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const ended = new Promise<void>((resolve) => this.#child.once('close', () => resolve()))
    this.#child.stdin!.end()
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 20_000)
    await ended
    clearTimeout(timer)
  }

  #keep(line: string): void {
    this.#tail = [...this.#tail.slice(-40), line]
  }
}

/** Ends all of them, whatever happened to some. */
export async function endAll(workers: readonly Asked[]): Promise<void> {
  await Promise.allSettled(workers.map((worker) => worker.end()))
}
