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
import type { RewardContext, RewardDetails } from './types.ts'

/** What a worker has to know. */
export interface WorkerSettings {
  /** As the user wrote it, for messages. */
  python: string
  path: string
  name: string
  call: string
  /** What one call is of. */
  per: string
  interpreter: string
  timeoutMs: number
  log: ((line: string) => void) | undefined
}

/** A line from the process: an answer, or why there is none. `id` 0 is about loading the file. */
interface Answer {
  id: number
  /** Of loading: whether calls are awaited together. */
  together?: boolean
  rewards?: RewardDetails[]
  error?: string
  traceback?: string
}

interface Call {
  answer?: Answer
  /** All that it printed is here. */
  isPrinted: boolean
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
export interface ScoredJoint {
  item: unknown
  joint: Joint
  prompts?: RewardContext['prompts']
}

/** What a function raised: unlike other failures, the next call may succeed. */
export class RaisedError extends MagrpoError {}

/**
 * Serves one call at a time, of one or more joint completions, and any number where the function is asynchronous. A call that is late
 * or aborted ends the process, since nothing else would stop it.
 */
export class PythonRewardWorker implements PoolWorker<readonly ScoredJoint[], RewardDetails[]> {
  places = 1
  #hasEnded = false
  #isEnding = false
  readonly #ended: Promise<void>
  readonly #settings: WorkerSettings
  readonly #child: ChildProcess
  /** Calls under way by their id. */
  readonly #calls = new Map<number, Call>()
  #printed: string[] = []
  #nextId = 1
  #problem = ''

  private constructor(settings: WorkerSettings) {
    this.#settings = settings
    const { interpreter, path, name, call, per } = settings
    this.#child = spawn(interpreter, ['-u', host, path, name, call, per], { stdio: ['pipe', 'ignore', 'pipe', 'pipe'] })
    this.#input.on('error', () => {}) // the process is gone; its end is reported
    this.#ended = new Promise((resolve) => {
      const end = (problem: string) => {
        this.#problem ||= problem
        this.#hasEnded = true
        for (const { reject } of this.#calls.values()) reject(this.#error('ERR_REWARD', this.#problem))
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
      const { error, traceback, together } = await worker.#wait(0, signal)
      if (error !== undefined) throw worker.#error('ERR_TASK', `it cannot be loaded: ${error}`, traceback)
      if (together) worker.places = Infinity
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

  /** The rewards of joint completions, in one call of the function. */
  async call(asked: readonly ScoredJoint[], signal?: AbortSignal): Promise<RewardDetails[]> {
    const id = this.#nextId++
    if (this.#calls.size === 0) this.#printed = []
    const joints = asked.map(({ joint, ...rest }) => {
      return { ...rest, completions: joint.map((completion) => ({ ...completion, ids: [...completion.ids] })) }
    })
    const answer = this.#wait(id, signal)
    this.#input.write(`${JSON.stringify({ id, joints })}\n`)
    const { rewards, error, traceback } = await answer
    if (error !== undefined) throw this.#error('ERR_REWARD', error, traceback)
    return rewards!
  }

  /** Ends the process: by itself when its input closes, else by force. */
  async dispose(): Promise<void> {
    this.#isEnding = true
    if (!this.#hasEnded) this.#input.end()
    if (this.#calls.size > 0) this.#kill()
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
      this.#calls.set(id, { isPrinted: false, resolve, reject })
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
        this.#calls.delete(id)
        clearTimeout(timer)
        forget()
      })
  }

  #onAnswer(line: string): void {
    const answer = JSON.parse(line) as Answer
    const call = this.#calls.get(answer.id)
    if (call) this.#settle(Object.assign(call, { answer }))
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
    const call = this.#calls.get(Number(text.slice(at + mark.length)))
    if (call) this.#settle(Object.assign(call, { isPrinted: true }))
  }

  /** Answers and printed lines come in two pipes, in any order: a call ends when it has both. */
  #settle({ answer, isPrinted, resolve }: Call): void {
    if (answer !== undefined && isPrinted) resolve(answer)
  }

  #error(code: ErrorCode, what: string, traceback = ''): MagrpoError {
    const { python } = this.#settings
    const output = this.#printed.join('\n')
    const message = [
      `The Python reward ${python}: ${what.replace(/\.$/, '')}.`,
      ...(traceback === '' ? [] : [traceback.trimEnd()]),
      ...(output === '' ? [] : ['It printed:', output]),
    ]
    const Kind = code === 'ERR_REWARD' && traceback !== '' ? RaisedError : MagrpoError
    return new Kind(code, message.join('\n'), { details: { python, traceback, output } })
  }
}
