/** How a function in Python is called: the convention of TRL, awaited together, on groups, again. */
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import type { Completion } from '../../lib/tasks/task/completion.ts'
import { defineTask } from '../../lib/tasks/task/define-task.ts'
import { pythonReward } from '../../lib/tasks/task/python-reward.ts'
import type { PythonRewardSettings } from '../../lib/tasks/task/python-reward-options.ts'
import type { RewardContext, RewardResult } from '../../lib/tasks/task/types.ts'
import { rejectsWith } from '../support/errors.ts'
import { repositoryDir } from '../support/fixtures.ts'

const file = join(repositoryDir, 'test/tasks/python/calls.py')
const { signal } = new AbortController()
const item = { topic: 'rain', prompt: 'Write.' }

function completion(text: string): Completion {
  return { text, ids: Int32Array.of(1, 2, 3), finish: 'stop', logProbSum: -0.5 }
}

function start(t: ExecutionContext, name: string, settings: Partial<PythonRewardSettings> = {}) {
  const made = pythonReward({ python: `${file}:${name}`, ...settings })
  t.teardown(made.dispose)
  return made
}

function scorer(t: ExecutionContext, name: string, settings: Partial<PythonRewardSettings> = {}) {
  const { reward } = start(t, name, settings)
  return async (text: string, context: Partial<RewardContext> = {}): Promise<RewardResult> =>
    reward(item, [completion(text)], { signal, ...context })
}

const total = (value: number) => ({ total: value, parts: {} })

test('TRL: completions of prompts of messages are messages, and prompts are what the model was asked', async (t) => {
  const score = scorer(t, 'conversational')
  const prompts: RewardContext['prompts'] = [[{ role: 'user', content: '12345' }]]
  t.deepEqual(await score('abc', { prompts }), total(8))
})

test('TRL: completions of text prompts are texts; ids and fields come by name, prompt and completion of the item do not', async (t) => {
  t.deepEqual(await scorer(t, 'plain')('abc', { prompts: ['12345'] }), total(5 + 30 + 400))
  t.deepEqual(await scorer(t, 'plain')('abc'), total(6 + 30 + 400), 'without prompts, the field of that name')
  t.deepEqual(await scorer(t, 'ids')('abc'), total(6), 'ids alone are a signature of TRL')
})

test('calls of an asynchronous function are awaited together, in one process', async (t) => {
  const score = scorer(t, 'meets', { timeoutMs: 20_000 })
  const results = await Promise.all(['a', 'bb', 'ccc', 'dddd'].map((text) => score(text)))
  t.deepEqual(results, [1, 2, 3, 4].map(total))
  const judge = scorer(t, 'judge', { call: 'trl', timeoutMs: 20_000 })
  t.deepEqual(
    await Promise.all([judge('a'), judge('bb')]),
    [total(1), total(2)],
    'an object with an asynchronous __call__',
  )
})

test('an asynchronous call that raises fails alone, with its traceback', async (t) => {
  const score = scorer(t, 'fails')
  const [good, bad, other] = await Promise.allSettled([score('good'), score('bad'), score('other')])
  t.deepEqual([good, other], Array(2).fill({ status: 'fulfilled', value: total(1) }))
  await rejectsWith(
    t,
    () => Promise.reject((bad as PromiseRejectedResult).reason),
    'ERR_REWARD',
    'ValueError: no reward for bad',
    'in fails',
  )
  t.notRegex((bad as PromiseRejectedResult).reason.message, /host\.py/)
})

test('batch: one call for all joint completions, with a reward each', async (t) => {
  const { batch, reward } = start(t, 'ranks', { call: 'batch' })
  t.is(batch?.per, 'group')
  const joints = [
    ['aaa', 'b'],
    ['a', 'b'],
    ['a', 'bb'],
  ].map((texts) => texts.map(completion))
  const rewards = await batch!.rewards([item, item, item], joints, { signal })
  t.deepEqual(
    rewards,
    [2, 0, 1].map((rank) => ({ total: rank, parts: { of: 3 } })),
  )
  t.deepEqual(await reward(item, joints[0]!, { signal }), { total: 0, parts: { of: 1 } }, 'one is a batch of one')
  const short = start(t, 'short', { call: 'batch' })
  await rejectsWith(
    t,
    async () => short.batch!.rewards([item, item], joints.slice(0, 2), { signal }),
    'ERR_REWARD',
    'a list with 2 rewards but it returned [1.0]',
  )
})

test('per: the functions of TRL and CoMLRL get groups or steps too, and others are of batches', async (t) => {
  const other = { topic: 'snow', prompt: 'Write.' }
  const single = start(t, 'trl_ranks', { per: 'step' })
  t.is(single.batch?.per, 'step')
  const joints = ['b', 'a', 'c'].map((text) => [completion(text)])
  t.deepEqual(await single.batch!.rewards([item, other, item], joints, { signal }), [
    total(1),
    { total: null, parts: {} },
    total(2),
  ])
  const two = [
    ['a', 'bb'],
    ['aaa', ''],
  ].map((texts) => texts.map(completion))
  t.deepEqual(await start(t, 'pairs', { per: 'group' }).batch!.rewards([item, item], two, { signal }), [
    total(221),
    total(203),
  ])
  t.deepEqual(await start(t, 'ranks', { per: 'group' }).batch!.rewards([item], [two[0]!], { signal }), [
    { total: 0, parts: { of: 1 } },
  ])
  t.is(start(t, 'plain').batch, undefined)
  await rejectsWith(t, async () => start(t, 'ranks', { call: 'item', per: 'step' }), 'ERR_TASK', 'use call: batch')
})

test('None abstains, alone or as the total; a reason comes along', async (t) => {
  const score = scorer(t, 'abstains')
  t.deepEqual(await score('?'), { total: null, parts: {} })
  t.deepEqual(await score('a'), { total: null, parts: { asked: 1 }, reason: 'no answer' })
  const explains = scorer(t, 'explains')
  t.deepEqual(await explains('a'), { total: 1, parts: {}, reason: 'tests failed' })
  await rejectsWith(t, () => explains('b'), 'ERR_REWARD', 'expected a text as reason but it returned 3 (int)')
})

test('retries: a call that raises is made again, counted and logged; other failures are not', async (t) => {
  const log: string[] = []
  const settings = { retries: 2, retryDelayMs: 1, log: (line: string) => log.push(line) }
  t.deepEqual(await scorer(t, 'flaky', settings)('a'), { total: 3, parts: {}, retries: 2 })
  t.is(log.length, 2)
  t.regex(log[0]!, /^Call 1 of 3: The Python reward .*ConnectionError: call 1/)
  await rejectsWith(t, () => scorer(t, 'flaky')('a'), 'ERR_REWARD', 'call 1')
  await rejectsWith(t, () => scorer(t, 'always', settings)('a'), 'ERR_REWARD', 'never there')
  await rejectsWith(t, () => scorer(t, 'never_a_reward', settings)('a'), 'ERR_REWARD', 'call 1')
})

test('retries: the wait grows, and an abort ends it', async (t) => {
  const controller = new AbortController()
  const { reward } = start(t, 'always', {
    retries: 9,
    retryDelayMs: 60_000,
    log: () => controller.abort(new Error('enough')),
  })
  await t.throwsAsync(async () => reward(item, [completion('a')], { signal: controller.signal }), { message: 'enough' })
})

test('a task of a reward in Python that is of groups has it as its batch', async (t) => {
  const task = defineTask({
    name: 'ranks',
    agents: ['one'],
    items: [item],
    observe: ({ topic }) => topic,
    reward: { python: `${file}:ranks`, call: 'batch', per: 'step' },
  })
  t.teardown(async () => task.dispose?.())
  t.is(task.batch?.per, 'step')
  t.deepEqual(await task.reward(item, [completion('a')], { signal }), { total: 0, parts: { of: 1 } })
})
