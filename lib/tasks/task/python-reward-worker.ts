/** One process that has a user's Python reward loaded, and the JSON lines exchanged with it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { type ErrorCode, MagrpoError } from '../../base/errors.ts'
import { onAbort } from '../../base/on-abort.ts'
import { packageDir } from '../../base/package-dir.ts'
import type { PoolWorker } from '../../base/worker-pool.ts'
import type { Joint } from './completion.ts'

/** What a worker has to know. */
export interface WorkerSettings {
  /** As the user wrote it, for messages. */
  python: string
  path: string
  name: string
  call: string
  interpreter: string
  timeoutMs: number
  log: ((line: string) => void) | undefined
}

/** A line from the process: an answer, or why there is none. `id` 0 is about loading the file. */
interface Answer {
  id: number
  total?: number
  parts?: Record<string, number>
  error?: string
  traceback?: string
}

interface Call {
  id: number
  resolve(answer: Answer): void
  reject(error: unknown): void
}

/** On standard error, after all that a call has printed; the call's id follows. */
const mark = '\0magrpo:'

/** How much of what a function printed is kept for messages. */
const keptLines = 30

/** What a process gets to end by itself when its input closes. */
const graceMs = 2000

/** Loading a file may mean loading a model: it gets at least so long. */
const loadMs = 300_000

const host = join(packageDir, 'python/reward/host.py')

/** One joint completion to be scored. */
interface ScoreRequest {
  item: unknown
  joint: Joint
}

/** What the function returned. */
export interface Score {
  total: number
  parts: Record<string, number>
}

/** Serves one call at a time. A call that is late or aborted ends the process, since nothing else would stop it. */
export class PythonRewardWorker implements PoolWorker<ScoreRequest, Score> {
  #hasEnded = false
  #isEnding = false
  readonly #ended: Promise<void>
  readonly #settings: WorkerSettings
  readonly #child: ChildProcess
  #call: Call | undefined
  #answer: Answer | undefined
  /** The last call whose printed lines are all here. */
  #printedId = -1
  #printed: string[] = []
  #nextId = 1
  #problem = ''

  private constructor(settings: WorkerSettings) {
    this.#settings = settings
    const { interpreter, path, name, call } = settings
    this.#child = spawn(interpreter, ['-u', host, path, name, call], { stdio: ['pipe', 'ignore', 'pipe', 'pipe'] })
    this.#input.on('error', () => {}) // the process is gone; its end is reported
    this.#ended = new Promise((resolve) => {
      const end = (problem: string) => {
        this.#problem ||= problem
        this.#hasEnded = true
        this.#call?.reject(this.#error('ERR_REWARD', this.#problem))
        resolve()
      }
      this.#child.once('error', ({ message }) => end(`${interpreter} cannot be run (${message}); set interpreter`))
      this.#child.once('close', (code, signal) => end(`its process ended (${signal ?? `exit code ${code}`})`))
    })
    createInterface({ input: this.#child.stderr as Readable }).on('line', (line) => this.#onPrinted(line))
    createInterface({ input: this.#child.stdio[3] as Readable }).on('line', (line) => this.#onAnswer(line))
  }

  /**
   * Starts a process and waits until it has loaded the file.
   *
   * @throws MagrpoError `ERR_TASK` if the file cannot be loaded, `ERR_REWARD` if the process cannot be started, ends or takes too
   *   long; the signal's reason when aborted
   */
  static async start(settings: WorkerSettings, signal: AbortSignal): Promise<PythonRewardWorker> {
    const worker = new PythonRewardWorker(settings)
    try {
      const { error, traceback } = await worker.#wait(0, signal)
      if (error !== undefined) throw worker.#error('ERR_TASK', `it cannot be loaded: ${error}`, traceback)
      return worker
    } catch (error) {
      worker.#kill()
      await worker.#ended
      throw error
    }
  }

  /** Whether it takes calls: its process has not ended and was not told to. */
  get isAlive(): boolean {
    return !this.#hasEnded && !this.#isEnding
  }

  /** The reward of one joint completion. */
  async call({ item, joint }: ScoreRequest, signal?: AbortSignal): Promise<Score> {
    const id = this.#nextId++
    this.#printed = []
    const completions = joint.map(({ text, ids, finish, logProbSum }) => ({ text, ids: [...ids], finish, logProbSum }))
    const answer = this.#wait(id, signal)
    this.#input.write(`${JSON.stringify({ id, item, completions })}\n`)
    const { total, parts, error, traceback } = await answer
    if (error !== undefined) throw this.#error('ERR_REWARD', error, traceback)
    return { total: total!, parts: parts! }
  }

  /** Ends the process: by itself when its input closes, else by force. */
  async dispose(): Promise<void> {
    this.#isEnding = true
    if (!this.#hasEnded) this.#input.end()
    if (this.#call) this.#kill()
    const force = setTimeout(() => this.#kill(), graceMs)
    await this.#ended
    clearTimeout(force)
  }

  #kill(): void {
    this.#isEnding = true
    this.#child.kill('SIGKILL')
  }

  get #input(): Writable {
    return this.#child.stdin as Writable
  }

  #wait(id: number, signal?: AbortSignal): Promise<Answer> {
    const timeoutMs = Math.max(this.#settings.timeoutMs, id === 0 ? loadMs : 0)
    let isLate = false
    const timer = setTimeout(() => {
      isLate = true
      this.#kill()
    }, timeoutMs)
    const forget = onAbort(signal, () => this.#kill())
    return new Promise<Answer>((resolve, reject) => {
      if (this.#hasEnded) reject(this.#error('ERR_REWARD', this.#problem))
      this.#call = { id, resolve, reject }
    })
      .catch((error: unknown) => {
        signal?.throwIfAborted()
        const what = id === 0 ? 'to be loaded' : 'to return'
        if (isLate)
          throw this.#error(
            'ERR_REWARD',
            `expected it ${what} within ${timeoutMs} ms; make it faster or raise timeoutMs`,
          )
        throw error
      })
      .finally(() => {
        this.#call = undefined
        clearTimeout(timer)
        forget()
      })
  }

  #onAnswer(line: string): void {
    this.#answer = JSON.parse(line) as Answer
    this.#settle()
  }

  #onPrinted(text: string): void {
    const at = text.indexOf(mark) // not at 0 where the last line printed had no end
    const line = at < 0 ? text : text.slice(0, at)
    if (line !== '' || at < 0) {
      this.#printed.push(line)
      if (this.#printed.length > keptLines) this.#printed.shift()
      this.#settings.log?.(line)
    }
    if (at < 0) return
    this.#printedId = Number(text.slice(at + mark.length))
    this.#settle()
  }

  /** Answers and printed lines come in two pipes, in any order: a call ends when it has both. */
  #settle(): void {
    const id = this.#call?.id
    if (this.#answer?.id === id && this.#printedId === id) this.#call?.resolve(this.#answer!)
  }

  #error(code: ErrorCode, what: string, traceback = ''): MagrpoError {
    const { python } = this.#settings
    const output = this.#printed.join('\n')
    const message = [
      `The Python reward ${python}: ${what.replace(/\.$/, '')}.`,
      ...(traceback === '' ? [] : [traceback.trimEnd()]),
      ...(output === '' ? [] : ['It printed:', output]),
    ]
    return new MagrpoError(code, message.join('\n'), { details: { python, traceback, output } })
  }
}
