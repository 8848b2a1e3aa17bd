/** Limits on how much is under way at once. Processes have `worker-pool.ts`, rewards `rl/rollout/reward-queue.ts`. */

/** Maps values concurrently, at most `limit` calls under way at once, and resolves with the results in the order of the values. */
export async function mapConcurrently<In, Out>(
  values: readonly In[],
  limit: number,
  work: (value: In) => Promise<Out>,
): Promise<Out[]> {
  const results = new Array<Out>(values.length)
  let next = 0
  const worker = async () => {
    while (next < values.length) {
      const index = next++
      results[index] = await work(values[index]!)
    }
  }
  await Promise.all(Array.from({ length: Math.min(limit, values.length) }, worker))
  return results
}

/**
 * Maps inputs concurrently and gives the results in the order of the inputs. A failure comes in its place, after the results
 * before it; nothing new is begun then.
 *
 * @param limit most calls under way at once
 */
export async function* inOrder<In, Out>(
  inputs: AsyncIterable<In>,
  limit: number,
  map: (input: In) => Promise<Out>,
): AsyncGenerator<Out> {
  const pending: Promise<Out>[] = []
  const begin = (input: In) => {
    const result = map(input)
    // The failure is met when its turn comes; until then it must not count as unhandled.
    result.catch(() => {})
    pending.push(result)
  }
  let failure: { error: unknown } | undefined
  const iterator = inputs[Symbol.asyncIterator]()
  const readNext = () =>
    iterator.next().catch((error: unknown) => {
      failure = { error }
      return { done: true as const, value: undefined }
    })
  try {
    let next = readNext()
    for (;;) {
      const head = pending[0]
      const isInput = pending.length < limit && (head === undefined || (await firstOf(next, head)))
      if (!isInput) {
        yield await (pending.shift() as Promise<Out>)
        continue
      }
      const { done, value } = await next
      if (done) break
      begin(value)
      next = readNext()
    }
    for (let head = pending.shift(); head; head = pending.shift()) yield await head
    if (failure) throw failure.error
  } finally {
    // Not awaited: a source that waits for input would hold the failure back.
    void iterator.return?.()
    await Promise.allSettled(pending)
  }
}

/** Whether the input settles before the output does. */
function firstOf(input: Promise<unknown>, output: Promise<unknown>): Promise<boolean> {
  const settled = (promise: Promise<unknown>, value: boolean) =>
    promise.then(
      () => value,
      () => value,
    )
  return Promise.race([settled(input, true), settled(output, false)])
}
