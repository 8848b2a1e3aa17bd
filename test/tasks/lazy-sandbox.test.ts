import test from 'ava'
import { VerdictMemory } from '../../lib/tasks/code/lazy-sandbox.ts'

test('equal programs run once, also while the first still runs; the oldest verdicts are forgotten', async (t) => {
  const memory = new VerdictMemory<number>(2)
  let runs = 0
  const run = async () => ++runs
  t.deepEqual(await Promise.all([memory.get('a', undefined, run), memory.get('a', undefined, run)]), [1, 1])
  await memory.get('b', undefined, run)
  await memory.get('c', undefined, run)
  t.is(await memory.get('b', undefined, run), 2)
  t.is(await memory.get('a', undefined, run), 4)
  const none = new VerdictMemory<number>(0)
  t.not(await none.get('a', undefined, run), await none.get('a', undefined, run))
})

test('a failure is not kept, and the abort of one does not fail another', async (t) => {
  const memory = new VerdictMemory<string>(10)
  const broken = new Error('no sandbox')
  const failing = [1, 2].map(() => memory.get('a', undefined, () => Promise.reject(broken)))
  for (const { reason } of (await Promise.allSettled(failing)) as PromiseRejectedResult[]) t.is(reason, broken)
  t.is(await memory.get('a', undefined, async () => 'fine'), 'fine')

  const mine = new AbortController()
  const aborted = memory.get('b', mine.signal, () => {
    return new Promise((_, reject) => mine.signal.addEventListener('abort', () => reject(mine.signal.reason)))
  })
  const other = memory.get('b', new AbortController().signal, async () => 'run again')
  const reason = new Error('enough')
  mine.abort(reason)
  await t.throwsAsync(aborted, { is: reason })
  t.is(await other, 'run again')
})
