/** One worker: a child process that serves one request after the other, and the frames exchanged with it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SandboxError } from '../base/errors.ts'
import { onAbort } from '../base/on-abort.ts'
import { packageDir } from '../base/package-dir.ts'
import type { PoolWorker } from '../base/worker-pool.ts'
import { explainFailure, nobody, unavailable, type WorkerCommand } from './command.ts'
import type { SandboxLimits, SandboxResources } from './types.ts'

/** How long a worker may take to start; it takes a fraction of a second on a machine that is not busy. */
const startMs = 120_000

/** The package's folder of Python sources. */
const pythonDir = join(packageDir, 'python')

/** The folders in it that a worker needs; `worker.py` beside them puts what they hold together. */
const workerFolders = ['sandbox', 'code_task', 'cooperation']

/** The first code of a worker, and the modules it is then sent: their sources by path, `sandbox/wire.py`. */
interface WorkerSources {
  boot: string
  modules: Record<string, string>
}

/** Reads the Python sources of a worker. */
export async function readSources(): Promise<WorkerSources> {
  const inFolders = await Promise.all(
    workerFolders.map(async (folder) => (await readdir(join(pythonDir, folder))).map((name) => `${folder}/${name}`)),
  )
  const paths = ['worker.py', ...inFolders.flat().filter((path) => path.endsWith('.py'))]
  const read = async (path: string) => [path, await readFile(join(pythonDir, path), 'utf8')] as const
  const { 'sandbox/boot.py': boot, ...modules } = Object.fromEntries(await Promise.all(paths.map(read)))
  return { boot: boot!, modules }
}

/** What a worker has to know when it starts. */
interface WorkerConfig extends SandboxResources {
  mode: 'bubblewrap' | 'process'
}

/** A request; the rest of it is for the Python side. */
export interface WorkerRequest {
  limits: SandboxLimits
}

/** A reply to a request: what was asked for, or why its judge is gone, with what could be said before any test ran. */
export interface WorkerReply {
  reply?: unknown
  died?: 'timeout' | 'memory' | 'crash' | 'syntax'
}

/** A worker ended by itself while it served a request. */
export class WorkerDeath extends Error {}

/** The time for an answer is over. */
class LateError extends Error {}

function frame(message: unknown): Buffer {
  const body = Buffer.from(JSON.stringify(message), 'utf8')
  const head = Buffer.alloc(4)
  head.writeUInt32BE(body.length)
  return Buffer.concat([head, body])
}

/** A running worker, which serves one request at a time. */
export class Worker implements PoolWorker<WorkerRequest, WorkerReply> {
  #hasEnded = false
  #isKilled = false
  readonly #child: ChildProcess
  readonly #ended: Promise<void>
  #received: Buffer[] = []
  #receivedBytes = 0
  #said = ''
  #waiting: { resolve(message: Record<string, unknown>): void; reject(error: Error): void } | undefined

  private constructor(child: ChildProcess) {
    this.#child = child
    this.#ended = new Promise((resolve) => {
      const end = () => {
        this.#hasEnded = true
        this.#waiting?.reject(new WorkerDeath(this.#said))
        this.#waiting = undefined
        resolve()
      }
      child.once('error', (error) => {
        this.#said ||= error.message
        end()
      })
      child.once('close', end)
    })
    child.stdin?.on('error', () => {}) // the end of the process is what counts
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#said = (this.#said + text).slice(-4000)
    })
    child.stdout?.on('data', (data: Buffer) => this.#receive(data))
  }

  /**
   * Starts a worker and waits until its first program could run.
   *
   * @throws SandboxError `ERR_SANDBOX_UNAVAILABLE` with the reason and the remedy; the signal's reason when aborted
   */
  static async start(
    command: WorkerCommand,
    sources: WorkerSources,
    config: WorkerConfig,
    signal?: AbortSignal,
  ): Promise<Worker> {
    // As root, a real change of user: limits on processes do not hold for root.
    const user = process.getuid?.() === 0 ? { uid: nobody, gid: nobody } : {}
    const child = spawn(command.file, command.args, {
      cwd: '/',
      env: config.mode === 'process' ? { PYTHONHASHSEED: '0' } : {},
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true, // Ctrl-C on a terminal is for the program that uses the sandbox, which may want to finish a step
      ...user,
    })
    const worker = new Worker(child)
    try {
      const message = { modules: sources.modules, main: 'worker', config }
      const hello = await worker.#within(startMs, signal, () => worker.#ask(message))
      if (typeof hello.unavailable === 'string') throw new Error(hello.unavailable)
      worker.#quiet()
      return worker
    } catch (error) {
      await worker.dispose()
      signal?.throwIfAborted()
      if (error instanceof LateError)
        throw unavailable(`a worker was not ready within ${startMs / 1000} s.`, 'Is the machine overloaded?')
      throw await explainFailure((error as Error).message)
    }
  }

  /** Whether it takes requests: it has not ended and was not told to. */
  get isAlive(): boolean {
    return !this.#hasEnded && !this.#isKilled
  }

  /**
   * Sends a request and resolves with its reply.
   *
   * @throws WorkerDeath if the worker ends first; SandboxError `ERR_SANDBOX` for an error of the sandbox's own; the signal's reason
   */
  async call(request: WorkerRequest, signal?: AbortSignal): Promise<WorkerReply> {
    this.#loud()
    try {
      // The worker keeps the wall limit by itself; this is for a worker that does not answer at all.
      const patienceMs = request.limits.wallSeconds * 1000 + 15_000
      const { bug, ...reply } = await this.#within(patienceMs, signal, () => this.#ask(request))
      if (bug === undefined) return reply
      throw new SandboxError('ERR_SANDBOX', `The sandbox failed by itself; please report this:\n${bug}`)
    } catch (error) {
      signal?.throwIfAborted()
      if (error instanceof LateError) return { died: 'timeout' }
      throw error
    } finally {
      this.#quiet()
    }
  }

  /** Ends the worker and everything in it at once; resolves when its process has ended. */
  dispose(): Promise<void> {
    this.#kill()
    if (!this.#hasEnded) this.#loud()
    return this.#ended
  }

  #kill(): void {
    if (!this.isAlive) return
    this.#isKilled = true
    if (this.#child.pid === undefined) return
    try {
      process.kill(-this.#child.pid, 'SIGKILL')
    } catch {
      // it has just ended by itself
    }
  }

  /** Kills the worker when the signal aborts, or when the time is over; the work then rejects, with LateError in the second case. */
  async #within<T>(limitMs: number, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    let isLate = false
    const forget = onAbort(signal, () => this.#kill())
    const watchdog = setTimeout(() => {
      isLate = true
      this.#kill()
    }, limitMs)
    try {
      return await work()
    } catch (error) {
      throw isLate ? new LateError() : error
    } finally {
      clearTimeout(watchdog)
      forget()
    }
  }

  // An idle worker must not keep the event loop, and so the program, alive.
  #quiet(): void {
    this.#child.unref()
    for (const stream of [this.#child.stdin, this.#child.stdout, this.#child.stderr])
      (stream as unknown as { unref?(): void } | null)?.unref?.()
  }

  #loud(): void {
    this.#child.ref()
    for (const stream of [this.#child.stdin, this.#child.stdout, this.#child.stderr])
      (stream as unknown as { ref?(): void } | null)?.ref?.()
  }

  #ask(message: unknown): Promise<Record<string, unknown>> {
    return new Promise((resolve, reject) => {
      if (this.#hasEnded) return reject(new WorkerDeath(this.#said))
      this.#waiting = { resolve, reject }
      this.#child.stdin?.write(frame(message))
    })
  }

  #receive(data: Buffer): void {
    this.#received.push(data)
    this.#receivedBytes += data.length
    if (this.#receivedBytes < 4) return
    const first = this.#received[0] as Buffer
    const all = first.length >= 4 ? first : Buffer.concat(this.#received)
    const size = 4 + all.readUInt32BE(0)
    if (this.#receivedBytes < size) return
    const message = JSON.parse(Buffer.concat(this.#received).toString('utf8', 4, size))
    this.#received = []
    this.#receivedBytes = 0
    const waiting = this.#waiting
    this.#waiting = undefined
    waiting?.resolve(message)
  }
}
