import test from 'ava'
import { onAbort } from '../../lib/base/on-abort.ts'
import { type PoolWorker, WorkerPool, type WorkerPoolOptions } from '../../lib/base/worker-pool.ts'

const disposed = new Error('disposed')

/** Answers with its number and the request when it is told to. */
class FakeWorker implements PoolWorker<string, string> {
  isAlive = true
  isDisposed = false
  readonly #number: number
  #answer: { resolve(reply: string): void; reject(error: Error): void } | undefined
  request: string | undefined

  constructor(number: number) {
    this.#number = number
  }

  async call(request: string, signal?: AbortSignal): Promise<string> {
    this.request = request
    const forget = onAbort(signal, () => this.die(signal?.reason as Error))
    try {
      return await new Promise<string>((resolve, reject) => {
        this.#answer = { resolve, reject }
      })
    } finally {
      forget()
    }
  }

  answer(): void {
    this.#answer?.resolve(`${this.#number} ${this.request}`)
  }

  die(error = new Error(`${this.#number} died`)): void {
    this.isAlive = false
    this.#answer?.reject(error)
  }

  async dispose(): Promise<void> {
    this.isDisposed = true
    if (this.isAlive) this.die()
  }
}

function fakePool(options: Partial<WorkerPoolOptions<string, string>> = {}) {
  const workers: FakeWorker[] = []
  const start = async () => {
    const worker = new FakeWorker(workers.length)
    workers.push(worker)
    return worker
  }
  return {
    workers,
    pool: new WorkerPool<string, string>({ size: 2, start, disposedError: () => disposed, ...options }),
  }
}

const settled = () => new Promise<void>((resolve) => setImmediate(resolve))

test('requests wait for a worker, in their order; no more workers start than are allowed or needed', async (t) => {
  const { pool, workers } = fakePool()
  await pool.warmUp()
  await pool.warmUp()
  t.is(workers.length, 1)
  const replies = ['a', 'b', 'c', 'd'].map((request) => pool.call(request))
  await settled()
  t.deepEqual(
    workers.map(({ request }) => request),
    ['a', 'b'],
  )
  workers[1]!.answer()
  await settled()
  t.is(workers[1]!.request, 'c')
  workers[0]!.answer()
  await settled()
  for (const worker of workers) worker.answer()
  t.deepEqual(await Promise.all(replies), ['0 a', '1 b', '1 c', '0 d'])
  t.is(workers.length, 2)
})

test('a worker with more places gets more requests at once, and the one with the least to do is asked', async (t) => {
  const served: string[] = []
  const release: (() => void)[] = []
  const start = async () => {
    const number = release.length === 0 ? 0 : 1
    const call = async (request: string) => {
      served.push(`${number} ${request}`)
      await new Promise<void>((resolve) => release.push(resolve))
      return request
    }
    return { isAlive: true, places: 2, call, dispose: async () => {} }
  }
  const { pool } = fakePool({ start })
  const first = pool.call('a')
  await settled()
  const others = ['b', 'c', 'd', 'e'].map((request) => pool.call(request))
  await settled()
  t.deepEqual([...served].sort(), ['0 a', '0 b', '1 c', '1 d'])
  release[0]!()
  t.is(await first, 'a')
  await settled()
  t.is(served.at(-1), '0 e')
  for (const free of release) free()
  t.deepEqual(await Promise.all(others), ['b', 'c', 'd', 'e'])
})

test('a worker that ends is replaced, and its request is tried again as often as is said', async (t) => {
  const { pool, workers } = fakePool({ size: 1, retries: 1 })
  const first = pool.call('a')
  const second = pool.call('b')
  await settled()
  workers[0]!.die()
  await settled()
  t.true(workers[0]!.isDisposed)
  t.is(workers[1]!.request, 'a', 'it goes before those that wait')
  workers[1]!.die()
  await t.throwsAsync(first, { message: '1 died' })
  await settled()
  workers[2]!.answer()
  t.is(await second, '2 b')
  workers[2]!.die()
  const third = pool.call('c')
  await settled()
  workers[3]!.answer()
  t.is(await third, '3 c', 'one that ended while it was idle is not asked')
})

test('an abort takes a request that waits out of the queue, and ends the worker of one that runs', async (t) => {
  const { pool, workers } = fakePool({ size: 1, retries: 1 })
  const [one, two] = [new AbortController(), new AbortController()]
  const reason = new Error('enough')
  const running = pool.call('a', one.signal)
  const waiting = pool.call('b', two.signal)
  const after = pool.call('c')
  await settled()
  two.abort(reason)
  await t.throwsAsync(waiting, { is: reason })
  one.abort(reason)
  await t.throwsAsync(running, { is: reason })
  await settled()
  workers[1]!.answer()
  t.is(await after, '1 c')
  await t.throwsAsync(pool.call('d', AbortSignal.abort(reason)), { is: reason })
})

test('a start that fails is the error of those who wait, unless another worker is there for them', async (t) => {
  let starts = 0
  const failure = new Error('cannot start')
  const worker = new FakeWorker(0)
  const start = async () => {
    if (++starts !== 2) throw failure
    return worker
  }
  const { pool } = fakePool({ start })
  await t.throwsAsync(pool.warmUp(), { is: failure })
  const [first, second] = [pool.call('a'), pool.call('b')]
  await settled()
  worker.answer()
  t.is(await first, '0 a')
  await settled()
  worker.answer()
  t.is(await second, '0 b')
  worker.die()
  await t.throwsAsync(pool.call('c'), { is: failure })
})

test('dispose ends workers, also one that only starts, and rejects what waits or runs', async (t) => {
  const { pool, workers } = fakePool({ size: 1 })
  const outcomes = Promise.allSettled([pool.call('a'), pool.call('b')])
  await settled()
  await pool.dispose()
  await pool.dispose()
  for (const outcome of await outcomes) t.is((outcome as PromiseRejectedResult).reason, disposed)
  t.true(workers[0]!.isDisposed)
  await t.throwsAsync(pool.call('c'), { is: disposed })
  await t.throwsAsync(pool.warmUp(), { is: disposed })

  let finish!: (worker: FakeWorker) => void
  const late = fakePool({ start: () => new Promise((resolve) => (finish = resolve)) })
  const waiting = late.pool.call('a')
  const end = late.pool.dispose()
  await t.throwsAsync(waiting, { is: disposed })
  const worker = new FakeWorker(0)
  finish(worker)
  await end
  t.true(worker.isDisposed)
})
