import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import { MagrpoError } from '../../lib/base/errors.ts'
import { type RewardLimits, runRewards } from '../../lib/rl/rollout/reward-queue.ts'
import type { Joint } from '../../lib/tasks/task/completion.ts'
import type { RewardResult, TaskContext } from '../../lib/tasks/task/types.ts'

type Reward = (item: number, joint: Joint, context: TaskContext) => RewardResult | Promise<RewardResult>

const limits: RewardLimits = { concurrency: 2, timeoutMs: 5000 }
const jobs = (count: number) => Array.from({ length: count }, (_, item) => ({ item, index: 10 + item, joint: [] }))
const run = (reward: Reward, count = 5, changes: Partial<RewardLimits> = {}) =>
  runRewards({ name: 'toy', reward }, jobs(count), { ...limits, ...changes })

test('numbers and totals with parts come back in the order of the jobs', async (t) => {
  const outcomes = await run(async (item) => {
    await sleep(item === 0 ? 20 : 0)
    return item % 2 === 0 ? item : { total: item, parts: { half: item / 2 } }
  })
  t.deepEqual(outcomes, [
    { reward: 0, parts: {} },
    { reward: 1, parts: { half: 0.5 } },
    { reward: 2, parts: {} },
    { reward: 3, parts: { half: 1.5 } },
    { reward: 4, parts: {} },
  ])
})

test('null is no verdict, alone or as the total; retries come along', async (t) => {
  const outcomes = await run((item) => (item === 0 ? null : { total: null, parts: { half: 0.5 }, retries: 2 }), 2)
  t.deepEqual(outcomes, [
    { reward: null, parts: {} },
    { reward: null, parts: { half: 0.5 }, retries: 2 },
  ])
})

test('no more calls are under way than allowed, and not fewer', async (t) => {
  let active = 0
  let most = 0
  await run(
    async () => {
      most = Math.max(most, ++active)
      await sleep(2)
      active--
      return 0
    },
    12,
    { concurrency: 3 },
  )
  t.is(most, 3)
})

for (const [what, reward, pattern] of [
  ['NaN', () => NaN, /finite number or \{ total, parts \}.*received NaN \(number\) for item 11/],
  ['a string', () => '1' as never, /received 1 \(string\)/],
  ['nothing', () => undefined as never, /received undefined/],
  ['an infinite total', () => ({ total: Infinity, parts: {} }), /as total.*Infinity/],
  ['a NaN part', () => ({ total: 1, parts: { style: NaN } }), /part 'style'.*NaN/],
  ['retries that are no count', () => ({ total: 1, parts: {}, retries: 0.5 }), /an integer from 0 up as retries/],
  ['a reason that is no text', () => ({ total: 1, parts: {}, reason: 3 as never }), /a string as reason.*received 3/],
  ['a part with the name of a metric', () => ({ total: 1, parts: { mean: 1 } }), /reward\/mean is a metric/],
] as const) {
  test(`${what} is refused, naming the item`, async (t) => {
    const error = await t.throwsAsync(
      run((item) => (item === 1 ? reward() : 0)),
      { instanceOf: MagrpoError, code: 'ERR_REWARD', message: pattern },
    )
    t.is(error.details['item'], 11)
    t.is(error.details['task'], 'toy')
  })
}

test('what a reward throws is the cause', async (t) => {
  const cause = new TypeError('no such key')
  const error = await t.throwsAsync(
    run((item) => {
      if (item === 2) throw cause
      return 0
    }),
    {
      code: 'ERR_REWARD',
      message:
        /^The reward of task 'toy' threw for item 12: TypeError: no such key \(at .*reward-runner.test.ts:\d+:\d+\)$/,
    },
  )
  t.is(error?.cause, cause)
})

test('a reward that never settles ends with its time limit, and its signal is aborted', async (t) => {
  let aborted = false
  await t.throwsAsync(
    run(
      (_, __, { signal }) => {
        signal.addEventListener('abort', () => {
          aborted = true
        })
        return new Promise(() => {})
      },
      1,
      { timeoutMs: 10 },
    ),
    { code: 'ERR_REWARD', message: /settle within 10 ms, but for item 10 it did not.*rewardTimeoutMs/ },
  )
  t.true(aborted)
})

test('the first failure aborts the others, and no further one is begun', async (t) => {
  let begun = 0
  let aborted = 0
  await t.throwsAsync(
    run(
      async (item, _, { signal }) => {
        begun++
        signal.addEventListener('abort', () => {
          aborted++
        })
        if (item === 1) throw new Error('bad')
        await sleep(1000, undefined, { signal })
        return 0
      },
      6,
      { concurrency: 3 },
    ),
    { code: 'ERR_REWARD', message: /item 11: bad/ },
  )
  t.is(begun, 3)
  t.is(aborted, 3)
})

test('abort before and during rejects with the reason', async (t) => {
  const reason = new Error('enough')
  await t.throwsAsync(
    run(() => t.fail() as never, 2, { signal: AbortSignal.abort(reason) }),
    { is: reason },
  )
  const controller = new AbortController()
  await t.throwsAsync(
    run(
      (item) => {
        if (item === 1) controller.abort(reason)
        return new Promise(() => {})
      },
      4,
      { signal: controller.signal },
    ),
    { is: reason },
  )
})

test('many quick rewards leave the event loop turning', async (t) => {
  let turns = 0
  let isDone = false
  const turn = () => {
    turns++
    if (!isDone) setImmediate(turn)
  }
  setImmediate(turn)
  await run(
    () => {
      const end = performance.now() + 5
      while (performance.now() < end);
      return 1
    },
    20,
    { concurrency: 1 },
  )
  isDone = true
  t.true(turns >= 3, `${turns} turns`)
})
