/** A pool of processes that serve requests, one at a time each unless they can serve more. */
import { onAbort } from './on-abort.ts'

/** One process of a {@link WorkerPool}. */
export interface PoolWorker<Request, Reply> {
  /** False from when the worker is told to end, or ends by itself; it then takes no more requests. */
  readonly isAlive: boolean
  /** Requests it serves at once. Defaults to `1`. */
  readonly places?: number
  /** Serves a request. If the signal aborts, the worker ends, since nothing else stops what it runs, and the call rejects. */
  call(request: Request, signal?: AbortSignal): Promise<Reply>
  /** Ends the worker; resolves when its process has ended. */
  dispose(): Promise<void>
}

/** What a {@link WorkerPool} is made of. */
export interface WorkerPoolOptions<Request, Reply> {
  /** Most workers. */
  size: number
  /** Starts a worker; it is ready when the promise resolves. The signal aborts when the pool is disposed. */
  start(signal: AbortSignal): Promise<PoolWorker<Request, Reply>>
  /** How many more workers a request gets if the one that served it ended. Defaults to `0`. */
  retries?: number
  /** The error of requests to a pool that was disposed. */
  disposedError(): Error
}

interface Job<Request, Reply> {
  request: Request
  signal: AbortSignal | undefined
  /** How many workers have ended while they served this request. */
  deaths: number
  resolve(reply: Reply): void
  reject(error: unknown): void
}

/** Gives requests to workers in the order they came. Workers start when there is work for them, and are replaced if they end. */
export class WorkerPool<Request, Reply> {
  readonly #options: WorkerPoolOptions<Request, Reply>
  /** Requests that each worker is serving. */
  readonly #all = new Map<PoolWorker<Request, Reply>, number>()
  readonly #starting = new Set<Promise<PoolWorker<Request, Reply>>>()
  readonly #queue: Job<Request, Reply>[] = []
  readonly #disposal = new AbortController()

  constructor(options: WorkerPoolOptions<Request, Reply>) {
    this.#options = options
  }

  /** Starts the first worker, unless there is one, so that what cannot work fails now. Rejects as `start` does. */
  async warmUp(): Promise<void> {
    if (this.#isDisposed) throw this.#options.disposedError()
    if (this.#all.size > 0) return
    await (this.#starting.values().next().value ?? this.#addWorker())
  }

  /**
   * Lets a worker serve a request; it waits until one is free.
   *
   * @throws the signal's reason when aborted; `disposedError`; what starting a worker throws if there is no other one; what the
   *   worker throws
   */
  call(request: Request, signal?: AbortSignal): Promise<Reply> {
    return new Promise((resolve, reject) => {
      if (this.#isDisposed) return reject(this.#options.disposedError())
      if (signal?.aborted) return reject(signal.reason)
      const settle = <T>(how: (value: T) => void) => {
        return (value: T) => {
          forget()
          how(value)
        }
      }
      const job = { request, signal, deaths: 0, resolve: settle(resolve), reject: settle(reject) }
      const forget = onAbort(signal, () => {
        const place = this.#queue.indexOf(job)
        if (place >= 0) this.#queue.splice(place, 1)
        job.reject(signal?.reason)
      })
      this.#queue.push(job)
      this.#next()
    })
  }

  /** Ends all workers; requests that wait or are being served reject with `disposedError`. Calling it twice is fine. */
  async dispose(): Promise<void> {
    this.#disposal.abort(this.#options.disposedError())
    this.#rejectQueue(this.#disposal.signal.reason)
    const late = [...this.#starting].map(async (start) => (await start.catch(() => undefined))?.dispose())
    await Promise.all([...[...this.#all.keys()].map((worker) => worker.dispose()), ...late])
  }

  get #isDisposed(): boolean {
    return this.#disposal.signal.aborted
  }

  /** The worker with a free place that has the least to do. */
  #free(): PoolWorker<Request, Reply> | undefined {
    let [best, least] = [undefined as PoolWorker<Request, Reply> | undefined, Infinity]
    for (const [worker, load] of this.#all) {
      if (load === 0 && !worker.isAlive) this.#all.delete(worker)
      else if (worker.isAlive && load < (worker.places ?? 1) && load < least) [best, least] = [worker, load]
    }
    return best
  }

  /** Gives waiting requests to workers with a free place, and starts workers while there are more requests than workers. */
  #next(): void {
    while (this.#queue.length > 0) {
      const worker = this.#free()
      if (worker === undefined) break
      void this.#serve(worker, this.#queue.shift()!)
    }
    const starting = this.#starting
    while (
      starting.size < this.#queue.length &&
      this.#all.size + starting.size < this.#options.size &&
      !this.#isDisposed
    )
      this.#addWorker().catch((error: unknown) => {
        // With another worker left the requests can wait for that one; without, nobody would ever serve them.
        if (this.#all.size + starting.size === 0) this.#rejectQueue(error)
      })
  }

  async #addWorker(): Promise<void> {
    const start = this.#options.start(this.#disposal.signal)
    this.#starting.add(start)
    const worker = await start.finally(() => this.#starting.delete(start))
    this.#all.set(worker, 0)
    if (this.#isDisposed) {
      await worker.dispose()
      throw this.#disposal.signal.reason
    }
    this.#next()
  }

  async #serve(worker: PoolWorker<Request, Reply>, job: Job<Request, Reply>): Promise<void> {
    this.#all.set(worker, this.#all.get(worker)! + 1)
    try {
      job.resolve(await worker.call(job.request, job.signal))
    } catch (error) {
      const { retries = 0 } = this.#options
      const isRetried = !worker.isAlive && !job.signal?.aborted && job.deaths++ < retries
      if (this.#isDisposed) job.reject(this.#disposal.signal.reason)
      else if (isRetried) this.#queue.unshift(job)
      else job.reject(error)
    }
    if (worker.isAlive) this.#all.set(worker, this.#all.get(worker)! - 1)
    else {
      await worker.dispose()
      this.#all.delete(worker)
    }
    this.#next()
  }

  #rejectQueue(error: unknown): void {
    for (const job of this.#queue.splice(0)) job.reject(error)
  }
}
