/** Rewards of a group or a step at a time. */
import test from 'ava'
import { magrpo } from '../../lib/rl/algorithms/magrpo.ts'
import { evaluateBackend } from '../../lib/rl/evaluation.ts'
import { RewardQueue } from '../../lib/rl/rollout/reward-queue.ts'
import { startRun } from '../../lib/rl/run.ts'
import type { SampleRow } from '../../lib/rl/types/reports.ts'
import type { RewardCache } from '../../lib/rl/types/run-store.ts'
import type { Joint } from '../../lib/tasks/task/completion.ts'
import { defineTask } from '../../lib/tasks/task/define-task.ts'
import type { BatchReward, Task } from '../../lib/tasks/task/types.ts'
import { TableEngine, tableBackend } from './support/table-engine.ts'
import { complementTask, type ToyItem } from './support/toy-task.ts'

/** The reward of a joint completion is its place in the call; `calls` holds the prompts of each call. */
function counting(per: BatchReward['per'], calls: number[][], changes: Partial<Task<ToyItem>> = {}): Task<ToyItem> {
  return defineTask<ToyItem>({
    ...complementTask(changes),
    metrics: undefined,
    reward: {
      per,
      rewards(items, joints, { prompts }) {
        calls.push(items.map(({ prompt }) => prompt))
        return joints.map((joint, place) => {
          const isRight =
            joint.length === 2 && prompts![place]!.every((prompt) => prompt === String(items[place]!.prompt))
          return isRight ? place : -1
        })
      },
    },
  })
}

const settings = { optimizer: { learningRate: 1 }, steps: 1, promptsPerStep: 2 }

async function rowsOf(task: Task<ToyItem>, changes = {}): Promise<SampleRow[]> {
  const backend = tableBackend(new TableEngine(2, { prompts: 2, positions: 1, tokens: 3 }), ['left', 'right'])
  const rows: SampleRow[] = []
  const options = { ...settings, algorithm: magrpo({ groupSize: 3 }), logSamples: 2, rewardConcurrency: 1, ...changes }
  for await (const { samples } of startRun(backend, { ...options, task })) rows.push(...samples)
  return rows
}

test('group: one call for the joint completions of each prompt, in their order', async (t) => {
  const calls: number[][] = []
  const rows = await rowsOf(counting('group', calls))
  t.deepEqual(
    calls.map((items) => items.length),
    [3, 3],
  )
  t.deepEqual(
    calls.map((items) => new Set(items).size),
    [1, 1],
  )
  t.deepEqual(
    rows.map(({ reward }) => reward),
    [0, 1, 2, 0, 1, 2],
  )
  t.deepEqual(
    rows.map(({ joint }) => joint),
    [0, 1, 2, 0, 1, 2],
  )
})

test('step: one call for all of a step; cross has all its combinations', async (t) => {
  const calls: number[][] = []
  const rows = await rowsOf(counting('step', calls))
  t.deepEqual(
    calls.map((items) => items.length),
    [6],
  )
  t.deepEqual(
    rows.map(({ reward }) => reward),
    [0, 1, 2, 3, 4, 5],
  )
  await rowsOf(counting('step', calls), { algorithm: magrpo({ groupSize: 2, jointMode: 'cross' }) })
  t.is(calls[1]!.length, 8)
})

test('step: a call for each turn', async (t) => {
  const calls: number[][] = []
  const task = counting('step', calls, {
    transition: (item) => ({ prompts: [String(item.prompt), String(item.prompt)] }),
  })
  await rowsOf(task, { algorithm: magrpo({ groupSize: 2, turns: 2 }) })
  t.deepEqual(
    calls.map((items) => items.length),
    [4, 8],
  )
})

test('evaluations call it with the samples of an item; elsewhere one joint completion is a batch', async (t) => {
  const calls: number[][] = []
  const task = counting('group', calls)
  const backend = tableBackend(new TableEngine(2, { prompts: 2, positions: 1, tokens: 3 }), ['left', 'right'])
  const { metrics } = await evaluateBackend(backend, { task, samples: 4, greedy: false })
  t.deepEqual(
    calls.map((items) => items.length),
    [4, 4],
  )
  t.is(metrics['eval/reward/mean'], 1.5)
  const [joint, signal] = [[] as Joint, new AbortController().signal]
  t.is(await task.reward({ prompt: 1 }, joint, { signal, prompts: ['1', '1'] }), -1)
})

test('a list of another length is refused', async (t) => {
  const task = defineTask({ ...complementTask(), reward: { per: 'group', rewards: () => [1, 2] } })
  await t.throwsAsync(rowsOf(task), {
    code: 'ERR_REWARD',
    message: /item \d: expected a list of 3 rewards.*received 2/,
  })
  t.throws(() => defineTask({ ...complementTask(), reward: { per: 'run' as never, rewards: () => [] } }), {
    code: 'ERR_TASK',
    message: /'group' or 'step'/,
  })
})

test('verdicts that are remembered are not asked for again, unless one of the call is missing', async (t) => {
  const known = new Set(['0', '1'])
  const memory: RewardCache = {
    recall: (place) => (known.has(place) ? { reward: 7, parts: {} } : undefined),
    keep: async () => {},
    known: () => [],
  }
  let calls = 0
  const rewards = (items: readonly unknown[]) => items.map(() => ++calls)
  const task = { name: 'toy', reward: () => 0, batch: { per: 'group', rewards } as BatchReward }
  const queue = new RewardQueue(task, { concurrency: 1, timeoutMs: 1000, memory })
  const jobsOf = (...places: string[]) => places.map((place, index) => ({ item: index, index, joint: [], place }))
  queue.add(jobsOf('0', '1'))
  queue.add(jobsOf('0', '2'))
  t.deepEqual(
    (await queue.outcomes()).map(({ reward }) => reward),
    [7, 7, 1, 2],
  )
})
