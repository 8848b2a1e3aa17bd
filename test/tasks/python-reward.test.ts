import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import type { Completion } from '../../lib/tasks/task/completion.ts'
import { defineTask } from '../../lib/tasks/task/define-task.ts'
import { pythonReward } from '../../lib/tasks/task/python-reward.ts'
import type { PythonRewardSettings } from '../../lib/tasks/task/python-reward-options.ts'
import type { RewardResult } from '../../lib/tasks/task/types.ts'
import { rejectsWith } from '../support/errors.ts'
import { repositoryDir } from '../support/fixtures.ts'

const file = join(repositoryDir, 'test/tasks/python/rewards.py')
const { signal } = new AbortController()
const item = { topic: 'rain', prompt: 'Write.' }

function completion(text: string): Completion {
  return { text, ids: Int32Array.of(1, 2), finish: 'stop', logProbSum: -0.5 }
}

/** A function that scores texts with `name` of the test's file. */
function scorer(t: ExecutionContext, name: string, settings: Partial<PythonRewardSettings> = {}) {
  const { reward, dispose } = pythonReward({ python: `${file}:${name}`, ...settings })
  t.teardown(dispose)
  return async (...texts: string[]): Promise<RewardResult> => reward(item, texts.map(completion), { signal })
}

test('a total with parts; what is printed goes to the log', async (t) => {
  const log: string[] = []
  const score = scorer(t, 'lengths', { log: (line) => log.push(line) })
  t.deepEqual(await score('ab', 'abcde'), { total: 3, parts: { first: 2, stopped: 1 } })
  t.deepEqual(await score('é', '你好'), { total: 1, parts: { first: 1, stopped: 1 } })
  t.deepEqual(log, ['scoring rain', 'scoring rain'])
})

test('a line without an end, and a standard error of the function itself', async (t) => {
  const log: string[] = []
  const score = scorer(t, 'redirects', { log: (line) => log.push(line) })
  t.deepEqual(await score('a'), { total: 1, parts: {} })
  t.deepEqual(await score('b'), { total: 1, parts: {} })
  t.deepEqual(log, ['half', 'half'])
})

test('completions are texts with ids, finish and log_prob_sum', async (t) => {
  t.deepEqual(await scorer(t, 'seen')('abc'), { total: 2, parts: {} })
})

test('the file is loaded once; further workers have processes of their own', async (t) => {
  const one = scorer(t, 'process')
  const totals = await Promise.all(Array.from({ length: 6 }, () => one('x')))
  t.is(new Set(totals.map((result) => (result as { total: number }).total)).size, 1)
  const three = scorer(t, 'slow_process', { workers: 3 })
  const others = await Promise.all(Array.from({ length: 9 }, () => three('x')))
  t.is(new Set(others.map((result) => (result as { total: number }).total)).size, 3)
})

test('asynchronous functions, and the signatures of CoMLRL and TRL', async (t) => {
  t.deepEqual(await scorer(t, 'later')('four'), { total: 4, parts: {} })
  t.deepEqual(await scorer(t, 'comlrl')('ab', 'abc'), { total: 132, parts: {} })
  t.deepEqual(await scorer(t, 'trl')('abc'), { total: 7, parts: {} })
  await rejectsWith(t, () => scorer(t, 'trl')('abc', 'd'), 'ERR_REWARD', '"trl" is for one agent')
  await rejectsWith(t, () => scorer(t, 'later', { call: 'comlrl' })('abc'), 'ERR_REWARD', 'later')
})

test('results that are no rewards are named', async (t) => {
  const score = scorer(t, 'returns')
  t.deepEqual(await score('True'), { total: 1, parts: {} })
  t.deepEqual(await score('{"total": 2}'), { total: 2, parts: {} })
  const wrong: [string, string][] = [
    ['"1"', 'expected a number as the reward'],
    ['[1.0]', 'expected a number as the reward'],
    ['float("nan")', 'expected a finite number as the reward but it returned nan'],
    ['{"score": 1}', 'expected a dict with "total"'],
    ['{"total": 1, "parts": {"a": "b"}}', "expected a number as part 'a'"],
  ]
  for (const [text, message] of wrong)
    await rejectsWith(t, () => score(text), 'ERR_REWARD', message, 'rewards.py:returns')
  t.deepEqual(await score('1'), { total: 1, parts: {} }, 'it goes on after an error')
})

test('an exception comes with its traceback and what was printed, without the frames of the host', async (t) => {
  const score = scorer(t, 'raises')
  const error = await rejectsWith(
    t,
    () => score('that'),
    'ERR_REWARD',
    /^The Python reward .*rewards\.py:raises: ValueError: no reward for that\.\n/,
    'in helper',
    'rewards.py", line',
    'It printed:\nabout to fail\non standard error',
  )
  t.notRegex(error.message, /host\.py/)
  t.is(error.details.output, 'about to fail\non standard error')
  const again = await rejectsWith(t, () => score('this'), 'ERR_REWARD', 'no reward for this')
  t.notRegex(again.message, /that/)
})

test('a call that takes too long ends its process; the next one gets a new process', async (t) => {
  const score = scorer(t, 'sleeps', { timeoutMs: 5000 })
  t.deepEqual(await score('short'), { total: 1, parts: {} })
  await rejectsWith(t, () => score('long'), 'ERR_REWARD', 'within 5000 ms', 'timeoutMs')
  t.deepEqual(await score('short'), { total: 1, parts: {} })
})

test('an abort ends the call with its reason, and waiting ones', async (t) => {
  const { reward, dispose } = pythonReward({ python: `${file}:sleeps` })
  t.teardown(dispose)
  const controller = new AbortController()
  const call = async (text: string) => reward(item, [completion(text)], { signal: controller.signal })
  t.deepEqual(await call('short'), { total: 1, parts: {} })
  const reason = new Error('enough')
  const calls = [call('long'), call('long')]
  setTimeout(() => controller.abort(reason), 10)
  for (const result of await Promise.allSettled(calls)) t.is((result as PromiseRejectedResult).reason, reason)
})

test('a process that ends is reported with its last words', async (t) => {
  await rejectsWith(t, () => scorer(t, 'leaves')('x'), 'ERR_REWARD', 'exit code 3', 'last words')
})

test('files and functions that are not there, broken files, no Python', async (t) => {
  const make = async (settings: PythonRewardSettings) => pythonReward(settings)
  await rejectsWith(t, () => make({ python: 'rewards' }), 'ERR_TASK', 'my_reward.py:score')
  await rejectsWith(t, () => make({ python: 'nowhere.py:score' }), 'ERR_TASK', 'there is no file nowhere.py')
  await rejectsWith(t, () => scorer(t, 'missing')('x'), 'ERR_TASK', 'it defines no missing', 'comlrl', 'lengths')
  await rejectsWith(t, () => scorer(t, 'constant')('x'), 'ERR_TASK', 'constant is a int, no function')
  const broken = pythonReward({ python: `${join(repositoryDir, 'test/tasks/python/broken.py')}:score` })
  t.teardown(broken.dispose)
  await rejectsWith(
    t,
    () => broken.start(),
    'ERR_TASK',
    'ModuleNotFoundError',
    'broken.py", line 3',
    'It printed:\nloading',
  )
  const none = scorer(t, 'later', { interpreter: 'no-such-python' })
  await rejectsWith(t, async () => none('x'), 'ERR_REWARD', 'no-such-python cannot be run')
})

test('as the reward of a task; dispose ends the process and the task', async (t) => {
  let isDisposed = false
  const task = defineTask({
    name: 'lengths',
    agents: ['first', 'second'],
    items: [item],
    observe: ({ topic }) => topic,
    reward: { python: `${file}:lengths` },
    dispose: async () => {
      isDisposed = true
    },
  })
  const joint = ['a', 'ab'].map(completion)
  t.deepEqual(await task.reward(item, joint, { signal }), { total: 1, parts: { first: 1, stopped: 1 } })
  await task.dispose?.()
  t.true(isDisposed)
  await t.throwsAsync(async () => task.reward(item, joint, { signal }))
  const nothing = { ...task, reward: 3 as never }
  t.throws(() => defineTask(nothing), { message: /file\.py:function/ })
})
